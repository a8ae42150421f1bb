/** Where connections come from, when the system has forgotten it. */
import { expect, test } from "bun:test";
import type { Socket } from "bun";
import { originOf } from "../../src/net/origin.ts";
import type { Slot } from "../../src/net/socket-handlers.ts";

/** A socket that knows so much of its caller. */
function socketOf(remoteAddress?: string, remotePort?: number): Socket<Slot> {
  return { remoteAddress, remotePort } as Socket<Slot>;
}

test("a caller has an address and a port, or is gone", () => {
  expect(originOf(socketOf("10.0.0.1", 7), "tcp")).toEqual({
    host: "10.0.0.1",
    text: "10.0.0.1:7",
  });
  expect(originOf(socketOf("fd00::1", 7), "tcp")?.text).toBe("[fd00::1]:7");
  expect(originOf(socketOf(), "tcp")).toBeUndefined();
  expect(originOf(socketOf("10.0.0.1"), "tcp")).toBeUndefined();
});

test("one of a unix socket has neither", () => {
  expect(originOf(socketOf(), "unix")).toEqual({ host: undefined, text: "unix" });
});
