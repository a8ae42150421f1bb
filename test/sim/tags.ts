/**
 * Every command of a simulated client carries a number of its own, in a field that no message of
 * the protocol has and every decoder skips. So it can be told from the committed log alone whether
 * a command is there, and how often, even one that is like others (a deletion).
 */
import { asBuffer, ByteWriter } from "../../src/base/bytes.ts";
import { decodeChange } from "../../src/raft/membership/codec.ts";
import type { Entry } from "../../src/raft/types.ts";
import { BatchReader } from "../../src/state/command.ts";

/** Field 1000, fixed32: ends every tagged body. */
const TAG_KEY = [0xc5, 0x3e];
const TAG_BYTES = TAG_KEY.length + 4;

const writer = new ByteWriter();

/** The body with `tag` behind it. */
export function tagged(body: Uint8Array, tag: number): Uint8Array {
  writer.reset();
  writer.append(body);
  for (const byte of TAG_KEY) writer.u8(byte);
  writer.u32(tag);
  return writer.copy();
}

/** The tags of the commands in an entry. */
export function tagsOf({ kind, payload }: Entry): number[] {
  const batch = kind === "config" ? decodeChange(payload)?.context : payload;
  if (kind === "noop" || batch === undefined || batch.length === 0) return [];
  const tags: number[] = [];
  const reader = new BatchReader(asBuffer(batch));
  while (reader.next()) {
    const at = reader.end - TAG_BYTES;
    if (at < reader.start) continue;
    const isTagged = reader.payload[at] === TAG_KEY[0] && reader.payload[at + 1] === TAG_KEY[1];
    if (isTagged) tags.push(reader.payload.readUInt32BE(at + TAG_KEY.length));
  }
  return tags;
}
