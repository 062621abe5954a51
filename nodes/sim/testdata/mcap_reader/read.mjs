// Reads an MCAP file with the format's reference reader and prints, as JSON,
// what is in it: for each topic the schema, the number of messages, the first
// and last log time, and the last message of the topics named after the file,
// bytes in base64.
import { parse } from "@foxglove/rosmsg";
import { MessageReader } from "@foxglove/rosmsg2-serialization";
import { McapIndexedReader } from "@mcap/core";
import { decompress } from "fzstd";
import { open } from "node:fs/promises";

const [path, ...decoded] = process.argv.slice(2);
const file = await open(path);
const readable = {
  size: async () => BigInt((await file.stat()).size),
  read: async (offset, length) => {
    const buffer = new Uint8Array(Number(length));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, Number(offset));
    if (bytesRead !== buffer.length) throw new Error(`${path} ends at ${offset}+${bytesRead}`);
    return buffer;
  },
};
const reader = await McapIndexedReader.Initialize({
  readable,
  decompressHandlers: { zstd: (data, size) => decompress(data, new Uint8Array(Number(size))) },
});
const topics = {};
const last = {};
for await (const m of reader.readMessages({ validateCrcs: true })) {
  const channel = reader.channelsById.get(m.channelId);
  const schema = reader.schemasById.get(channel.schemaId);
  const t = (topics[channel.topic] ??= { schema: schema.name, encoding: channel.messageEncoding, count: 0, first: String(m.logTime) });
  t.count++;
  t.last = String(m.logTime);
  last[channel.topic] = { data: m.data, schema };
}
for (const topic of decoded) {
  const { data, schema } = last[topic];
  const text = new TextDecoder().decode(schema.data);
  topics[topic].message = new MessageReader(parse(text, { ros2: true })).readMessage(data);
}
const json = (_, v) => {
  if (v instanceof Uint8Array) return Buffer.from(v).toString("base64");
  if (ArrayBuffer.isView(v)) return Array.from(v);
  return typeof v === "bigint" ? String(v) : v;
};
console.log(JSON.stringify({ statistics: String(reader.statistics.messageCount), topics }, json));
