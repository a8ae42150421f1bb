/** Entries of another member: what could not be applied must not come into the log. */
import { describe, expect, test } from "bun:test";
import { ByteWriter } from "../../src/base/bytes.ts";
import { DROPS_LOG_MS, DropWatch } from "../../src/node/drop-watch.ts";
import { isSoundEntry } from "../../src/node/sound-entry.ts";
import { encodeChange } from "../../src/raft/membership/codec.ts";
import type { DropReason } from "../../src/raft/message.ts";
import type { Entry } from "../../src/raft/types.ts";
import { addCommand, beginBatch, CommandKind, endBatch } from "../../src/state/command.ts";
import { Warnings } from "../net/peers/members.ts";

function batch(...kinds: readonly number[]): Buffer {
  const out = new ByteWriter(64);
  beginBatch(out, 7n, 1);
  for (const kind of kinds) addCommand(out, kind as CommandKind, new Uint8Array([1, 2]), 0, 2);
  return Buffer.from(endBatch(out, kinds.length));
}

function isSound(kind: Entry["kind"], payload: Uint8Array): boolean {
  return isSoundEntry({ index: 5, term: 2, kind, payload });
}

function change(context: Uint8Array): Uint8Array {
  return encodeChange({ transition: "auto", steps: [], context });
}

describe("a batch", () => {
  test("of commands that exist is sound", () => {
    expect(isSound("normal", batch())).toBe(true);
    expect(isSound("normal", batch(CommandKind.put, CommandKind.compact))).toBe(true);
  });

  test("cut anywhere, or longer than it says, is not", () => {
    const whole = batch(CommandKind.put, CommandKind.put);
    for (let length = 0; length < whole.length; length++) {
      expect(isSound("normal", whole.subarray(0, length))).toBe(false);
    }
    expect(isSound("normal", Buffer.concat([whole, Buffer.alloc(1)]))).toBe(false);
  });

  test("of another format, of commands of a newer program or of changes is not", () => {
    const newer = batch(CommandKind.put);
    newer[0] = 2;
    expect(isSound("normal", newer)).toBe(false);
    for (const kind of [0, 99, 255, CommandKind.memberAdd, CommandKind.memberUpdate]) {
      expect(isSound("normal", batch(kind))).toBe(false);
    }
  });

  test("that counts wrongly is not", () => {
    const wrong = batch(CommandKind.put);
    wrong.writeUInt32BE(2, 17);
    expect(isSound("normal", wrong)).toBe(false);
  });
});

describe("a change", () => {
  test("with a member's record, without one, or that is none at all is sound", () => {
    expect(isSound("config", change(batch(CommandKind.memberAdd)))).toBe(true);
    expect(isSound("config", change(new Uint8Array(0)))).toBe(true);
    expect(isSound("config", Buffer.from("nonsense"))).toBe(true); // applied as no change
  });

  test("with something else is not", () => {
    expect(isSound("config", change(batch(99)))).toBe(false);
    expect(isSound("config", change(batch(CommandKind.memberAdd).subarray(1)))).toBe(false);
    expect(isSound("config", change(Buffer.from("x")))).toBe(false);
  });
});

test("an entry of a leader's own may hold anything", () => {
  expect(isSound("noop", Buffer.from("anything"))).toBe(true);
});

test("that such messages come is said, now and then", () => {
  const dropped = { malformed: 0, "stale-term": 0 } as Record<DropReason, number>;
  Object.assign(dropped, { "second-leader": 0, "past-log": 0 });
  const log = new Warnings();
  const watch = new DropWatch(dropped, log);
  dropped["stale-term"] = 100; // as among sound members
  watch.tick(0);
  expect(log.lines).toEqual([]);
  dropped.malformed = 3;
  watch.tick(100);
  watch.tick(200);
  expect(log.lines).toEqual(["dropped messages that no sound member sends 3 0 0"]);
  dropped.malformed = 5;
  watch.tick(300);
  expect(log.lines).toHaveLength(1);
  watch.tick(100 + DROPS_LOG_MS);
  expect(log.lines).toHaveLength(2);
});
