/**
 * The same bytes give the same result however they are cut: one recorded conversation at every
 * split point, byte by byte, and random conversations, broken ones among them, at random cuts.
 */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../../src/base/prng.ts";
import { PREFACE } from "../../../src/wire/http2/protocol.ts";
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  message,
  NONE,
  PADDED,
  PING,
  PRIORITY,
  RawClient,
  RST_STREAM,
  requestFields,
  SETTINGS,
  STREAM_PATH,
  settings,
  takeOutput,
  u32,
  WINDOW_UPDATE,
} from "./kit.ts";

/** One of everything that a peer may send. */
function conversation(): Buffer {
  const client = new RawClient();
  const padded = Buffer.concat([Buffer.from([3]), message("padded"), Buffer.alloc(3)]);
  const unary = [client.request(1), client.request(3, "again")];
  const block = client.block(requestFields(STREAM_PATH, ["x-first", "1"]));
  return Buffer.concat([
    PREFACE,
    settings([4, 100_000], [3, 7]),
    ...unary,
    frame(HEADERS, 0, 5, block.subarray(0, 10)),
    frame(CONTINUATION, 0, 5, block.subarray(10, 11)),
    frame(CONTINUATION, END_HEADERS, 5, block.subarray(11)),
    frame(DATA, 0, 5, message("one").subarray(0, 4)),
    frame(DATA, 0, 5, Buffer.concat([message("one").subarray(4), message("two")])),
    frame(DATA, PADDED, 5, padded),
    frame(PING, 0, 0, u32(1, 2)),
    frame(SETTINGS, ACK, 0, NONE),
    frame(PRIORITY, 0, 5, Buffer.alloc(5)),
    frame(WINDOW_UPDATE, 0, 0, u32(1000)),
    client.headers(7, requestFields("/no.Such/Method")),
    frame(0xfa, 0, 9, u32(1)),
    client.headers(9, [":method", "GET"]),
    frame(DATA, END_STREAM, 5, NONE),
    frame(RST_STREAM, 0, 7, u32(8)),
    frame(PING, 0, 1, u32(1, 2)), // the breach that ends it
    client.request(11),
  ]);
}

interface Result {
  readonly output: string;
  readonly events: readonly string[];
  readonly reason: string;
}

function run(bytes: Buffer, cuts: readonly number[]): Result {
  const client = new RawClient();
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    // A copy whose memory is then overwritten: nothing may be kept of a borrowed chunk.
    const chunk = Buffer.from(bytes.subarray(from, cut));
    client.server.receive(chunk, 0);
    chunk.fill(0xee);
    client.server.verify();
    from = cut;
  }
  const output = takeOutput(client.server).toString("hex");
  return { output, events: client.seen.events, reason: client.server.reason };
}

describe("one conversation", () => {
  const bytes = conversation();
  const whole = run(bytes, []);

  test("is understood", () => {
    expect(whole.events).toEqual(["message 3", "message 3", "message 6", "half close"]);
    expect(whole.reason).toBe("PING on the wrong stream");
  });
  test("at every split point", () => {
    for (let cut = 1; cut < bytes.length; cut++) expect(run(bytes, [cut])).toEqual(whole);
  });
  test("byte by byte", () => {
    const cuts = Array.from({ length: bytes.length - 1 }, (_, index) => index + 1);
    expect(run(bytes, cuts)).toEqual(whole);
  });
  test("at two random points", () => {
    const prng = new Prng(1);
    for (let round = 0; round < 500; round++) {
      const cuts = [prng.below(bytes.length), prng.below(bytes.length)].sort((a, b) => a - b);
      expect(run(bytes, cuts)).toEqual(whole);
    }
  });
});

describe("damaged conversations", () => {
  test("random bytes changed, at random cuts: same result, and never a throw", () => {
    for (let seed = 1; seed <= 400; seed++) {
      const prng = new Prng(seed);
      const bytes = conversation();
      for (let count = prng.below(4); count >= 0; count--) {
        bytes[PREFACE.length + prng.below(bytes.length - PREFACE.length)] = prng.below(256);
      }
      const cuts = Array.from({ length: prng.below(6) }, () => prng.below(bytes.length));
      cuts.sort((a, b) => a - b);
      expect(run(bytes, cuts)).toEqual(run(bytes, []));
    }
  });
  test("garbage after the preface", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const prng = new Prng(seed);
      const garbage = Buffer.from(Array.from({ length: 400 }, () => prng.below(256)));
      const bytes = Buffer.concat([PREFACE, settings(), garbage]);
      expect(run(bytes, [PREFACE.length + 9 + prng.below(400)])).toEqual(run(bytes, []));
    }
  });
});
