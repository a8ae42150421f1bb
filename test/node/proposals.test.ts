import { describe, expect, test } from "bun:test";
import { asBuffer } from "../../src/base/bytes.ts";
import { AetherError } from "../../src/base/errors.ts";
import {
  answer,
  BATCH_BYTES_MAX,
  Proposals,
  type SentBatch,
  WAITING_BYTES_MAX,
} from "../../src/node/proposals.ts";
import { BatchReader, CommandKind } from "../../src/state/command.ts";

const ORIGIN = 0x8e9e05c52164694dn;
const body = new Uint8Array([1, 2, 3]);

function add(proposals: Proposals<string>, seen: (string | AetherError)[]): boolean {
  return proposals.add(CommandKind.put, body, 0, body.length, (outcome) => seen.push(outcome));
}

describe("proposals", () => {
  test("a turn's commands become one batch, read back in order", () => {
    const proposals = new Proposals<string>(ORIGIN, 77);
    const seen: (string | AetherError)[] = [];
    add(proposals, seen);
    proposals.add(CommandKind.deleteRange, body, 1, 3, () => {});
    const batch = proposals.take(5);
    const reader = new BatchReader(asBuffer(batch?.payload as Uint8Array));
    expect([reader.origin, reader.sequence, reader.count]).toEqual([ORIGIN, 77, 2]);
    const commands: [number, number[]][] = [];
    while (reader.next()) {
      commands.push([reader.kind, [...reader.payload.subarray(reader.start, reader.end)]]);
    }
    expect(commands).toEqual([
      [CommandKind.put, [1, 2, 3]],
      [CommandKind.deleteRange, [2, 3]],
    ]);
    expect(proposals.take(6)).toBeUndefined();
  });

  test("an outcome finds its call once, and only if the batch is ours", () => {
    const proposals = new Proposals<string>(ORIGIN, 1);
    const seen: (string | AetherError)[] = [];
    add(proposals, seen);
    proposals.take(0);
    expect(proposals.applied(1n, 1)).toBeUndefined();
    expect(proposals.applied(ORIGIN, 2)).toBeUndefined();
    const batch = proposals.applied(ORIGIN, 1);
    if (batch === undefined) throw new Error("our batch was not found");
    answer(batch, 0, "done");
    answer(batch, 0, "again");
    expect(seen).toEqual(["done"]);
    expect(proposals.applied(ORIGIN, 1)).toBeUndefined();
  });

  test("old batches expire, young ones wait on", () => {
    const proposals = new Proposals<string>(ORIGIN, 1);
    const seen: (string | AetherError)[] = [];
    add(proposals, seen);
    proposals.take(100);
    add(proposals, seen);
    proposals.take(200);
    const timeout = new AetherError("timeout");
    proposals.expire(150, () => timeout);
    expect(seen).toEqual([timeout]);
    expect(proposals.sentCount).toBe(1);
  });

  test("failAll answers what was sent and what was still being filled", () => {
    const proposals = new Proposals<string>(ORIGIN, 1);
    const seen: (string | AetherError)[] = [];
    add(proposals, seen);
    proposals.take(0);
    add(proposals, seen);
    const stopped = new AetherError("stopped");
    proposals.failAll(() => stopped);
    expect(seen).toEqual([stopped, stopped]);
    expect(proposals.sentCount + proposals.filling).toBe(0);
  });

  test("a batch that is being filled keeps its number when another is made anew meanwhile", () => {
    const proposals = new Proposals<string>(ORIGIN, 1);
    const [first, second]: (string | AetherError)[][] = [[], []];
    add(proposals, first as string[]);
    const refused = proposals.take(0);
    if (refused === undefined) throw new Error("nothing was taken");
    add(proposals, second as string[]);
    const again = proposals.again(refused);
    const taken = proposals.take(0);
    for (const [batch, seen] of [[again, first] as const, [taken, second] as const]) {
      const reader = new BatchReader(asBuffer(batch?.payload as Uint8Array));
      expect(reader.sequence).toBe(batch?.sequence as number);
      const found = proposals.applied(ORIGIN, reader.sequence);
      expect(found).toBe(batch);
      if (found !== undefined) answer(found, 0, "done");
      expect(seen).toEqual(["done"]);
    }
  });

  test("too much waits when batches and calls reach their bound, until some are answered", () => {
    for (const size of [1, 100_000]) {
      const proposals = new Proposals<string>(ORIGIN, 1);
      const large = new Uint8Array(size);
      const isFull = (): boolean => proposals.isFull();
      let calls = 0;
      for (; !isFull(); calls++) {
        if (proposals.add(CommandKind.put, large, 0, size, () => {})) proposals.take(0);
      }
      expect(calls).toBeLessThan(400_000);
      expect(calls * (size + 250)).toBeGreaterThan(WAITING_BYTES_MAX);
      const first = proposals.find(1);
      if (first === undefined) throw new Error("the first batch waits");
      proposals.again(first);
      expect(isFull()).toBe(true); // under another number, once
      proposals.refuse(proposals.unplaced()[0] as SentBatch<string>, new AetherError("stopped"));
      expect(isFull()).toBe(false);
    }
  });

  test("a full batch says so", () => {
    const proposals = new Proposals<string>(ORIGIN, 1);
    const half = new Uint8Array(BATCH_BYTES_MAX / 2);
    expect(proposals.add(CommandKind.put, half, 0, half.length, () => {})).toBe(false);
    expect(proposals.add(CommandKind.put, half, 0, half.length, () => {})).toBe(true);
  });
});
