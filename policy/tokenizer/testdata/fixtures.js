// Writes the small tokenizers of this folder and expected.json, the ids that
// Hugging Face's own library (the Rust crate behind npm's "tokenizers") gives
// for the texts below. Run in this folder:
//   npm install --no-save --ignore-scripts tokenizers@0.23.2 && node fixtures.js
const fs = require('fs')
const { Tokenizer } = require('tokenizers')

const corpus = `pick up the red block and put it in the blue bowl. place the green cup on
the left of the yellow plate! open the drawer, then close it. don't touch the robot's arm;
move the gripper slowly to the right side and wait 10 seconds. the naïve café is résumé 42.`
  .replace(/\n/g, ' ')

const texts = [
  '', ' ', 'a', 'pick up the red block', 'Pick Up The RED Block!', '  leading', 'trailing   ', 'two  spaces   three',
  'naïve café résumé Ångström', 'e\u0301 combining a\u0308\u0323', 'İstanbul ẞ ß ſ ǅ Ω', "don't I'm you've he'll SHOULDN'T 's",
  'tabs\tand\nlines\r\nhere  \n\n x', '拿起红色的方块', '東京タワー and ｆｕｌｌ', '한국어', 'emoji 😀 👩\u200d👧 🇩🇪 ok', 'zxqj qqqwww',
  'a-b_c/d\\e|f~g', '3.14 1,000 42nd', '[CLS] in text [SEP] [MASK] [UNK] [PAD]', '<s> hi </s> <unk> <pad> <mask>',
  '<|endoftext|> x <|startoftext|>', 'word<mask>  more [MASK]. <mask>', '\u00a0nbsp\u00a0here\u2003em', 'zero\u200bwidth\ufeffbom\u00adsoft',
  '\u0000nul\u0007bell\ufffd', 'ﬁne ﬂuent Ⅳ ½ ①', 'مرحبا', 'नमस्ते दुनिया', 'Привет, мир!', 'x'.repeat(120), 'the red block '.repeat(40),
  '"quoted" `ticks` “smart” — dash…', '▁under▁score _ ▁', '\n', '...', '!!!???', 'hello,world', 'a\u2028b\u0085c', 'robots robot robotrobot',
  'ext extra the_ext', 'x </s>y', '𝒳 𠀀', '5 10 100 １２', ' the', 'the  the', 'ABCabc', 'redblock bluebowl',
]

// trainBPE joins the most frequent pair again and again.
function trainBPE(words, base, count, suffix = '') {
  const vocab = [...base]
  const merges = []
  let split = words.map(w => { const c = [...w]; c[c.length - 1] += suffix; return c })
  for (const w of split) for (const c of w) if (!vocab.includes(c)) vocab.push(c)
  while (merges.length < count) {
    const seen = new Map()
    for (const w of split) for (let i = 0; i + 1 < w.length; i++) {
      const k = w[i] + ' ' + w[i + 1]
      seen.set(k, (seen.get(k) || 0) + 1)
    }
    if (!seen.size) break
    const [best] = [...seen].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))[0]
    const [a, b] = best.split(' ')
    merges.push([a, b])
    if (!vocab.includes(a + b)) vocab.push(a + b)
    split = split.map(w => {
      const out = []
      for (let i = 0; i < w.length; i++)
        if (i + 1 < w.length && w[i] === a && w[i + 1] === b) { out.push(a + b); i++ } else out.push(w[i])
      return out
    })
  }
  return { vocab, merges }
}

const ids = list => Object.fromEntries(list.map((t, i) => [t, i]))
const added = (list, vocab, extra = {}) => list.map(content => ({
  id: vocab.indexOf(content), content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true, ...extra[content],
}))
const template = (before, after, vocab) => ({
  type: 'TemplateProcessing',
  single: [...before.map(id => ({ SpecialToken: { id, type_id: 0 } })), { Sequence: { id: 'A', type_id: 0 } }, ...after.map(id => ({ SpecialToken: { id, type_id: 1 } }))],
  pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
  special_tokens: Object.fromEntries([...before, ...after].map(id => [id, { id, ids: [vocab.indexOf(id)], tokens: [id] }])),
})
const roberta = (cls, sep, vocab) => ({ type: 'RobertaProcessing', sep: [sep, vocab.indexOf(sep)], cls: [cls, vocab.indexOf(cls)], trim_offsets: true, add_prefix_space: false })

// byteChars are GPT-2's printable characters for the 256 bytes.
const byteChars = (() => {
  const out = []
  let next = 256
  for (let b = 0; b < 256; b++) out.push(String.fromCodePoint((b > 32 && b < 127) || (b > 160 && b !== 173) ? b : next++))
  return out
})()
const asBytes = s => [...Buffer.from(s)].map(b => byteChars[b]).join('')
const words = s => s.match(/ ?[^ ]+/g)

// charsmap builds SentencePiece's precompiled map: a double array over UTF-8.
function charsmap(map) {
  const trie = { next: {} }
  let list = ''
  for (const [from, to] of Object.entries(map)) {
    let n = trie
    for (const b of Buffer.from(from)) n = n.next[b] ||= { next: {} }
    n.value = Buffer.byteLength(list)
    list += to + '\0'
  }
  const units = [], used = new Set([0])
  const place = (node, at, label) => {
    const labels = [...('value' in node ? [0] : []), ...Object.keys(node.next).map(Number)]
    let base = 1
    while (base === at || labels.some(l => used.has(base ^ l))) base++
    labels.forEach(l => used.add(base ^ l))
    units[at] = (((base ^ at) << 10) | ('value' in node ? 256 : 0) | label) >>> 0
    if ('value' in node) units[base] = (0x80000000 | node.value) >>> 0
    for (const [l, child] of Object.entries(node.next)) place(child, base ^ Number(l), Number(l))
  }
  place(trie, 0, 0)
  const size = (Math.max(...used) | 255) + 1
  const b = Buffer.alloc(4 + 4 * size)
  b.writeUInt32LE(4 * size, 0)
  units.forEach((u, i) => b.writeUInt32LE(u, 4 + 4 * i))
  return Buffer.concat([b, Buffer.from(list)]).toString('base64')
}

const files = {}
const write = (name, t) => { files[name] = { version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, ...t } }

{ // BERT
  const plain = corpus.normalize('NFD').replace(/\p{Mn}/gu, '').match(/[a-z]+|\d+|[^\sa-z\d]/g)
  const { vocab: parts } = trainBPE(plain, [], 60)
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
  const vocab = [...special, ...parts, ...parts.filter(p => /^[a-z0-9]+$/.test(p)).map(p => '##' + p), '红', '色', 'の', '-', '[', ']']
  write('wordpiece.json', {
    added_tokens: added(special, vocab),
    normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: template(['[CLS]'], ['[SEP]'], vocab),
    model: { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 20, vocab: ids(vocab) },
    truncation: { direction: 'Right', max_length: 12, strategy: 'LongestFirst', stride: 0 },
    padding: { strategy: { Fixed: 12 }, direction: 'Right', pad_to_multiple_of: null, pad_id: 0, pad_type_id: 0, pad_token: '[PAD]' },
  })
}
{ // RoBERTa: byte-level, words begin with a space; a mask that takes the space before it
  const special = ['<s>', '<pad>', '</s>', '<unk>', '<mask>']
  const { vocab, merges } = trainBPE(words(' ' + corpus).map(asBytes), [...special, ...byteChars], 120)
  write('bytelevel.json', {
    added_tokens: added(special, vocab, { '<mask>': { lstrip: true } }),
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    post_processor: roberta('<s>', '</s>', vocab),
    model: { type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: '', end_of_word_suffix: '', fuse_unk: false, byte_fallback: false, vocab: ids(vocab), merges: merges.map(m => m.join(' ')) },
  })
}
{ // CLIP: byte-level with an ending of words, lower case
  const { vocab, merges } = trainBPE(corpus.match(/[\p{L}]+|\p{N}|[^\s\p{L}\p{N}]+/gu).map(asBytes), [...byteChars, ...byteChars.map(c => c + '</w>')], 100, '</w>')
  vocab.push('<|startoftext|>', '<|endoftext|>')
  write('clip.json', {
    added_tokens: added(['<|startoftext|>', '<|endoftext|>'], vocab, { '<|startoftext|>': { normalized: true } }),
    normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }, { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' }, { type: 'Lowercase' }] },
    pre_tokenizer: { type: 'Sequence', pretokenizers: [
      { type: 'Split', pattern: { Regex: "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" }, behavior: 'Removed', invert: true },
      { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }] },
    post_processor: roberta('<|startoftext|>', '<|endoftext|>', vocab),
    model: { type: 'BPE', dropout: null, unk_token: '<|endoftext|>', continuing_subword_prefix: '', end_of_word_suffix: '</w>', fuse_unk: false, byte_fallback: false, vocab: ids(vocab), merges: merges.map(m => m.join(' ')) },
  })
}
{ // Llama 3: byte-level, its own expression for words, whole words first
  const special = ['<|begin_of_text|>', '<|end_of_text|>', '<|pad|>']
  const { vocab, merges } = trainBPE(words(corpus).map(asBytes), byteChars, 90)
  vocab.push(asBytes(' robotrobot'), ...special)
  write('llama3.json', {
    added_tokens: added(special, vocab),
    pre_tokenizer: { type: 'Sequence', pretokenizers: [
      { type: 'Split', pattern: { Regex: "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" }, behavior: 'Isolated', invert: false },
      { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }] },
    post_processor: { type: 'Sequence', processors: [{ type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true }, template(['<|begin_of_text|>'], [], vocab)] },
    model: { type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: true, vocab: ids(vocab), merges },
    truncation: { direction: 'Left', max_length: 10, strategy: 'LongestFirst', stride: 0 },
    padding: { strategy: { Fixed: 10 }, direction: 'Left', pad_to_multiple_of: null, pad_id: vocab.indexOf('<|pad|>'), pad_type_id: 2, pad_token: '<|pad|>' },
  })
}
{ // Llama 2 and Gemma: BPE over characters, bytes for what is unknown
  const special = ['<unk>', '<s>', '</s>']
  const bytes = [...Array(250).keys()].map(b => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`) // six are missing: <unk>
  const { vocab, merges } = trainBPE(words(' ' + corpus).map(w => w.replace(' ', '▁')), [...special, ...bytes], 100)
  vocab.push('ext')
  write('llama2.json', {
    added_tokens: [...added(special, vocab), ...added(['ext'], vocab, { ext: { single_word: true, rstrip: true, special: false, normalized: true } })],
    normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] },
    post_processor: template(['<s>'], [], vocab),
    model: { type: 'BPE', dropout: null, unk_token: '<unk>', continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: true, byte_fallback: true, vocab: ids(vocab), merges },
  })
}
const pieces = count => {
  const { vocab } = trainBPE(words(' ' + corpus).map(w => w.replace(' ', '▁')), [], count)
  return vocab.map((t, i) => [t, -2 - ((i * 7919) % 1000) / 100 + [...t].length / 2])
}
{ // T5: Unigram with SentencePiece's normalization; one token is there twice
  const special = ['<pad>', '</s>', '<unk>']
  const vocab = [...special.map(t => [t, 0]), ['▁', -2.5], ...pieces(110), ['▁red▁block', -3.25], ['fi', -4.5]]
  const names = vocab.map(v => v[0])
  write('unigram.json', {
    added_tokens: added(special, names),
    normalizer: { type: 'Sequence', normalizers: [
      { type: 'Precompiled', precompiled_charsmap: charsmap({ 'ﬁ': 'fi', 'ﬂ': 'fl', 'e\u0301': 'é', 'é': 'é', '½': '1⁄2', '\u00a0': ' ', '\t': ' ', '\n': ' ', 'Ⅳ': 'IV', '\u200b': '', 'ａ': 'a', 'ｆ': 'f', 'ｕ': 'u', 'ｌ': 'l', A: 'a' }) },
      { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' }] },
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: false },
    post_processor: template([], ['</s>'], names),
    model: { type: 'Unigram', unk_id: 2, byte_fallback: false, vocab },
    padding: { strategy: 'BatchLongest', direction: 'Right', pad_to_multiple_of: null, pad_id: 0, pad_type_id: 0, pad_token: '<pad>' },
  })
}
{ // Unigram with bytes for what is unknown, words cut at spaces, the first word only marked
  const special = ['[UNK]', '[CLS]', '[SEP]', '[PAD]', '[MASK]']
  const bytes = [...Array(256).keys()].map(b => [`<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`, -20])
  const vocab = [...special.map(t => [t, 0]), ...bytes, ...pieces(60)]
  const names = vocab.map(v => v[0])
  write('unigrambytes.json', {
    added_tokens: added(special, names, { '[MASK]': { normalized: true, lstrip: true, rstrip: true } }),
    normalizer: { type: 'Sequence', normalizers: [{ type: 'Nmt' }, { type: 'NFKD' }, { type: 'StripAccents' }, { type: 'Lowercase' }, { type: 'Strip', strip_left: false, strip_right: true }] },
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: true },
    post_processor: { type: 'BertProcessing', sep: ['[SEP]', 2], cls: ['[CLS]', 1] },
    model: { type: 'Unigram', unk_id: 0, byte_fallback: true, vocab },
  })
}
{ // whole words
  const vocab = ['[UNK]', '[PAD]', ...new Set(corpus.match(/\w+|[^\w\s]+/g))]
  write('wordlevel.json', {
    added_tokens: added(['[UNK]', '[PAD]'], vocab),
    pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Whitespace' }, { type: 'Digits', individual_digits: true }, { type: 'Punctuation', behavior: 'Contiguous' }] },
    model: { type: 'WordLevel', unk_token: '[UNK]', vocab: ids(vocab) },
  })
}

async function main() {
  const expected = {}
  for (const [name, spec] of Object.entries(files)) {
    fs.writeFileSync(name, JSON.stringify(spec) + '\n')
    const own = Tokenizer.fromFile(name), t = Tokenizer.fromFile(name)
    expected[name] = []
    for (const text of texts) {
      t.disablePadding()
      t.disableTruncation()
      const all = await t.encode(text)
      t.setTruncation(6, { direction: spec.truncation ? spec.truncation.direction.toLowerCase() : 'right' })
      const e = { text, ids: all.getIds(), cut: (await t.encode(text)).getIds() }
      if (spec.truncation) {
        const p = await own.encode(text)
        e.padded = { IDs: p.getIds(), TypeIDs: p.getTypeIds(), Mask: p.getAttentionMask() }
      }
      expected[name].push(e)
    }
  }
  const rows = Object.entries(expected).map(([n, list]) => JSON.stringify(n) + ': [\n' + list.map(e => JSON.stringify(e)).join(',\n') + ']')
  fs.writeFileSync('expected.json', '{' + rows.join(',\n') + '}\n')
}
main()
