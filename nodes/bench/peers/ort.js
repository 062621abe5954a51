// Runs a policy that arfm has exported in ONNX Runtime, to be measured against.
// It reads requests, a JSON object a line, and answers each with one; package
// peers has what is in them. Arguments: the folder of node_modules, threads.
'use strict';
const path = require('path');
const readline = require('readline');
const [folder, threads] = process.argv.slice(1).filter((a) => a !== '--');
const place = require.resolve('onnxruntime-node', {paths: [path.resolve(folder)]});
const ort = require(place);

const arrays = {
  float32: (x) => Float32Array.from(x), int64: (x) => BigInt64Array.from(x.map(BigInt)),
  int32: (x) => Int32Array.from(x), uint8: (x) => Uint8Array.from(x), bool: (x) => Uint8Array.from(x),
};

let session = null;
let feeds = null;

async function open(job) {
  if (session) await session.release(); // what was open makes room first
  session = await ort.InferenceSession.create(job.model, {
    executionProviders: ['cpu'], executionMode: 'sequential', graphOptimizationLevel: 'all',
    intraOpNumThreads: Number(threads), interOpNumThreads: 1, logSeverityLevel: 3,
  });
  if (job.feeds) {
    feeds = {};
    for (const f of job.feeds) feeds[f.name] = new ort.Tensor(f.type, arrays[f.type](f.data), f.shape);
    return {values: Array.from((await session.run(feeds))[session.outputNames[0]].data, Number)};
  }
  const tensor = (type, data) => new ort.Tensor(type, data, [job.batch, data.length / job.batch]);
  const noise = Float32Array.from(job.noise);
  feeds = {
    state: tensor('float32', Float32Array.from(job.state)),
    words: tensor('int64', BigInt64Array.from(job.words.map(BigInt))),
    noise: new ort.Tensor('float32', noise, [job.batch, job.horizon, noise.length / job.batch / job.horizon]),
  };
  for (const name of Object.keys(feeds)) if (!session.inputNames.includes(name)) delete feeds[name];
  return {values: Array.from((await session.run(feeds)).chunk.data)};
}

async function run(runs) {
  const ms = [];
  for (let i = 0; i < runs; i++) {
    const start = process.hrtime.bigint();
    await session.run(feeds);
    ms.push(Number(process.hrtime.bigint() - start) / 1e6);
  }
  return {ms};
}

async function answer(request) {
  switch (request.do) {
    case 'hello': return {name: 'ONNX Runtime ' + ort.env.versions.node, place};
    case 'open': return open(request.job);
    default: return run(request.runs);
  }
}

(async () => {
  for await (const line of readline.createInterface({input: process.stdin})) {
    const reply = await answer(JSON.parse(line)).catch((e) => ({error: String(e)}));
    process.stdout.write(JSON.stringify(reply) + '\n');
  }
})();
