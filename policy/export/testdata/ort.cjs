// Runs exported policies in ONNX Runtime, as a program without arfm would.
// Usage: node ort.cjs FOLDER-OF-NODE_MODULES CASES.json; a JSON list of chunks
// goes to standard output.
'use strict';
const fs = require('fs');
const path = require('path');
const ort = require(require.resolve('onnxruntime-node', {paths: [path.resolve(process.argv[2])]}));

// words are the indices of an instruction's words, as the metadata say.
function words(text, vocab, limit) {
  const ids = (text.match(/[\p{L}\p{Nd}]+/gu) || []).slice(0, limit).map((word) => {
    let h = 2166136261;
    for (const b of Buffer.from(word.toLowerCase())) h = Math.imul(h ^ b, 16777619) >>> 0;
    return BigInt(h % vocab);
  });
  while (ids.length < limit) ids.push(-1n);
  return ids;
}

const kinds = {float32: Float32Array, uint8: Uint8Array};

function read(t) { // raw bytes in base64
  const b = Buffer.from(t.data, 'base64');
  return new ort.Tensor(t.type, new kinds[t.type](b.buffer.slice(b.byteOffset, b.byteOffset + b.length)), t.shape);
}

const number = (x) => new ort.Tensor('float32', Float32Array.of(x), [1]);

async function answer(c) {
  const options = {executionProviders: ['cpu'], logSeverityLevel: 3};
  const feeds = {};
  for (const name in c.feed) feeds[name] = read(c.feed[name]);
  if (c.vocab) {
    const all = c.texts.flatMap((text) => words(text, c.vocab, c.max_words));
    feeds.words = new ort.Tensor('int64', BigInt64Array.from(all), [c.texts.length, c.max_words]);
  }
  const only = (s) => Object.fromEntries(s.inputNames.map((n) => [n, feeds[n]]));
  if (c.policy) {
    const s = await ort.InferenceSession.create(c.policy, options);
    return (await s.run(only(s))).chunk.data;
  }
  const encoder = await ort.InferenceSession.create(c.encoder, options);
  const step = await ort.InferenceSession.create(c.step, options);
  Object.assign(feeds, await encoder.run(only(encoder)), {noisy: feeds.noise});
  for (let i = 0; i < c.steps; i++) {
    Object.assign(feeds, {tau: number(i / c.steps), dt: number(1 / c.steps)});
    const out = await step.run(only(step));
    feeds.noisy = out.next;
    feeds.chunk = out.chunk;
  }
  return feeds.chunk.data;
}

(async () => {
  const chunks = [];
  for (const c of JSON.parse(fs.readFileSync(process.argv[3]))) chunks.push(Array.from(await answer(c)));
  process.stdout.write(JSON.stringify(chunks));
})().catch((e) => { console.error(String(e)); process.exit(1); });
