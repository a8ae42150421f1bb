/** Answers in pieces: as long as was said, in step with the client, and ended with it. */
import { describe, expect, test } from "bun:test";
import { AssertionError } from "../../../src/base/assert.ts";
import type { ServerCall } from "../../../src/wire/grpc/server-call.ts";
import { Pair } from "./pair.ts";

const LATE = "/test.Service/Late";
const PIECE = Buffer.alloc(100_000, "0123456789");
const PIECES = 40;

function callOf(pair: Pair): ServerCall {
  return pair.seen.calls[0] as ServerCall;
}

describe("an answer in pieces", () => {
  test("arrives as one message, whatever the client's window", () => {
    const pair = Pair.open();
    const got = pair.unary(LATE, "x");
    const call = callOf(pair);
    let sent = 0;
    let drains = 0;
    const go = (): void => {
      for (; sent < PIECES && call.writable; sent++) call.continueReply(PIECE, 0, PIECE.length);
    };
    call.beginReply(PIECE.length * PIECES, () => {
      drains++;
      go();
    });
    go();
    expect(call.queuedBytes).toBeLessThan(1_000_000); // the rest waits for the client
    pair.settle();
    expect(got.end).toBe("OK");
    expect(got.messages.map((message) => message.length)).toEqual([PIECE.length * PIECES]);
    const whole = Buffer.concat(Array.from({ length: PIECES }, () => PIECE));
    expect(got.messages[0]?.equals(whole)).toBe(true);
    expect(drains).toBeGreaterThan(0);
    expect(pair.server.openCalls).toBe(0);
  });

  test("ends its handler when the client gives up half way", () => {
    const pair = Pair.open();
    const { call: client, recorder } = pair.call(LATE);
    client.send(Buffer.from("x"), 0, 1);
    client.halfClose();
    pair.settle();
    const call = callOf(pair);
    let told = 0;
    call.beginReply(PIECE.length * 2, () => {
      told++;
      if (call.cancelled) call.fail(1, "gone");
    });
    call.continueReply(PIECE, 0, PIECE.length);
    pair.settle();
    client.cancel();
    pair.settle();
    expect(recorder.end).toStartWith("CANCELLED");
    expect(call.cancelled).toBe(true);
    expect(told).toBeGreaterThan(0);
    expect(pair.server.openCalls).toBe(0);
  });

  test("is not longer than was said", () => {
    const pair = Pair.open();
    pair.unary(LATE, "x");
    const call = callOf(pair);
    call.beginReply(3, () => {});
    expect(() => call.continueReply(PIECE, 0, 4)).toThrow(AssertionError);
  });

  test("may be cut off by a failure", () => {
    const pair = Pair.open();
    const got = pair.unary(LATE, "x");
    const call = callOf(pair);
    call.beginReply(10, () => {});
    call.continueReply(PIECE, 0, 4);
    call.fail(14, "away");
    pair.settle();
    expect(got.end).not.toBe("OK");
    expect(got.messages).toEqual([]);
  });
});
