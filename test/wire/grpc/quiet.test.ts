/** Connections on which nothing is called, where whoever belongs there always has a call open. */
import { expect, test } from "bun:test";
import {
  DATA,
  END_STREAM,
  frame,
  GOAWAY,
  message,
  NONE,
  RawClient,
  requestFields,
  STREAM_PATH,
} from "../http2/kit.ts";

const QUIET = { quietMsMax: 10_000 };

/** Lets the time come, as net/ does, by ticks. */
function pass(client: RawClient, untilMs: number): void {
  while (client.nowMs < untilMs) {
    client.nowMs += 500;
    client.server.tick(client.nowMs);
    client.read();
  }
}

function isToldToGo(client: RawClient): boolean {
  return client.frames.some(({ type }) => type === GOAWAY);
}

test("one without a call is ended, and one with a call is not", () => {
  const [quiet, busy] = [RawClient.open(QUIET), RawClient.open(QUIET)];
  busy.send(busy.headers(1, requestFields(STREAM_PATH)));
  for (const client of [quiet, busy]) pass(client, 10_000);
  expect([isToldToGo(quiet), isToldToGo(busy)]).toEqual([false, false]);
  for (const client of [quiet, busy]) pass(client, 12_500);
  expect([isToldToGo(quiet), isToldToGo(busy)]).toEqual([true, false]);
  expect([quiet.server.closing, busy.server.closing]).toEqual([true, false]);
});

test("the time counts from the end of the last call", () => {
  const client = RawClient.open(QUIET);
  pass(client, 8_000);
  client.send(client.headers(1, requestFields(STREAM_PATH)));
  client.send(frame(DATA, 0, 1, message("x")));
  pass(client, 20_000);
  expect(isToldToGo(client)).toBe(false);
  client.send(frame(DATA, END_STREAM, 1, NONE));
  expect(client.server.openCalls).toBe(0);
  pass(client, 29_500);
  expect(isToldToGo(client)).toBe(false);
  pass(client, 32_500);
  expect(client.server.closing).toBe(true);
});

test("clients may be as quiet as they like", () => {
  const client = RawClient.open();
  pass(client, 60_000);
  expect(isToldToGo(client)).toBe(false);
});
