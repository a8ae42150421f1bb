/** An answer in pieces reads as the same answer in one. */
import { expect, spyOn, test } from "bun:test";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { Prng } from "../../../src/base/prng.ts";
import { LargeAnswer } from "../../../src/gateway/json/large-answer.ts";
import { RangeResponse, ResponseHeader } from "../../../src/proto/gen/etcdserverpb.ts";
import { KeyValue } from "../../../src/proto/gen/mvccpb.ts";
import { toJson } from "../../../src/proto/json.ts";

function response(prng: Prng, count: number): RangeResponse {
  const kvs = Array.from({ length: count }, (_, number) =>
    KeyValue.create({
      key: `key ${number}`,
      value: new Uint8Array(prng.below(300)).fill(number),
      modRevision: prng.below(2 ** 31),
      lease: number % 2 === 0 ? 0n : -1n,
    }),
  );
  const header = prng.below(4) === 0 ? undefined : ResponseHeader.create({ clusterId: 2n ** 63n });
  return RangeResponse.create({
    ...(header === undefined ? {} : { header }),
    kvs,
    more: prng.below(2) === 0,
    count: prng.below(2) * 5_000_000_000,
  });
}

test("at every size of pieces", () => {
  const prng = new Prng(3);
  for (let round = 0; round < 60; round++) {
    const message = response(prng, prng.below(12));
    const writer = new ByteWriter();
    RangeResponse.encode(message, writer);
    const bytes = writer.copy();
    for (const step of [1, 3, 17, 256, 4096]) {
      const answer = new LargeAnswer(RangeResponse);
      let text = "";
      for (let at = 0; at < bytes.length; at += step) {
        const piece = Uint8Array.from(bytes.subarray(at, at + step));
        text += answer.take(piece, 0, piece.length);
        piece.fill(0x58);
      }
      text += answer.end();
      expect(text).toBe(JSON.stringify(toJson(RangeResponse, message)));
    }
  }
});

test("a long field is put together once, however many pieces it comes in", () => {
  const [fieldBytes, step] = [1_000_000, 1000];
  const message = RangeResponse.create({
    kvs: [KeyValue.create({ value: new Uint8Array(fieldBytes) })],
  });
  const writer = new ByteWriter();
  RangeResponse.encode(message, writer);
  const bytes = writer.copy();
  using concat = spyOn(Buffer, "concat");
  const answer = new LargeAnswer(RangeResponse);
  let text = "";
  for (let at = 0; at < bytes.length; at += step) {
    text += answer.take(bytes, at, Math.min(at + step, bytes.length));
  }
  expect(text + answer.end()).toBe(JSON.stringify(toJson(RangeResponse, message)));
  const put = concat.mock.results.map(({ value }) => (value as Buffer).length);
  expect(put.reduce((sum, length) => sum + length, 0)).toBeLessThan(2 * fieldBytes);
});

test("that stops before its end is no answer", () => {
  const answer = new LargeAnswer(RangeResponse);
  answer.take(new Uint8Array([0x0a, 5, 1]), 0, 3);
  expect(() => answer.end()).toThrow("ends with a field");
});

test("with a zero that was written all the same leaves it out", () => {
  const answer = new LargeAnswer(RangeResponse);
  expect(answer.take(new Uint8Array([0x18, 1, 0x20, 0]), 0, 4) + answer.end()).toBe(
    '{"more":true}',
  );
});
