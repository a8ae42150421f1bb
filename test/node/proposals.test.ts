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
import { type Caller, decodeCaller } from "../../src/state/auth/caller.ts";
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

  test("on somebody's behalf have a prefix, where he is another than before, in each batch", () => {
    const proposals = new Proposals<string>(ORIGIN, 1);
    const one = { user: "u", authRevision: 7 };
    const callers = [undefined, one, { ...one }, { ...one, authRevision: 8 }, undefined, one];
    /** Who asks for each command, and how many prefixes there are. */
    const read = (): unknown => {
      for (const caller of callers) {
        proposals.add(CommandKind.put, body, 0, body.length, () => {}, caller);
      }
      const reader = new BatchReader(asBuffer(proposals.take(0)?.payload as Uint8Array));
      const asked: unknown[] = [];
      let prefixes = 0;
      let caller: Caller | undefined;
      while (reader.next()) {
        if (reader.kind === CommandKind.onBehalf) {
          prefixes++;
          caller = decodeCaller(reader.payload, reader.start, reader.end);
        } else asked.push(caller);
      }
      return { asked, prefixes, count: reader.count };
    };
    expect(read()).toEqual({ asked: callers, prefixes: 4, count: callers.length });
    callers.reverse(); // the second batch begins with whom the first ended with
    expect(read()).toEqual({ asked: callers, prefixes: 5, count: callers.length });
  });

  test("an outcome finds its call once, and only if the batch is ours", () => {
    const proposals = new Proposals<string>(ORIGIN, 1);
    const seen: (string | AetherError)[] = [];
    add(proposals, seen);
    const payload = Buffer.from(proposals.take(0)?.payload ?? body);
    // Of another origin, another number, of other commands: each byte of it counts.
    for (let at = 0; at < payload.length; at++) {
      const other = Buffer.from(payload);
      other[at] = (other[at] as number) ^ 1;
      expect(proposals.applied(other)).toBeUndefined();
    }
    const batch = proposals.applied(payload);
    if (batch === undefined) throw new Error("our batch was not found");
    answer(batch, 0, "done");
    answer(batch, 0, "again");
    expect(seen).toEqual(["done"]);
    expect(proposals.applied(payload)).toBeUndefined();
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

  test("each attempt of a batch has a number of its own, and its calls are answered once", () => {
    const proposals = new Proposals<string>(ORIGIN, 1);
    const seen: (string | AetherError)[] = [];
    add(proposals, seen);
    let batch = proposals.take(7);
    const first = Buffer.from(batch?.payload ?? body);
    const numbers = new Set<number>();
    for (let attempt = 0; attempt < 5; attempt++) {
      if (batch === undefined) throw new Error("there is a batch");
      expect(proposals.find(batch.sequence)).toBe(batch);
      expect([batch.term, batch.sentMs]).toEqual([0, 7]);
      numbers.add(batch.sequence);
      batch.term = 3;
      batch = proposals.again(batch);
      add(proposals, []);
      proposals.take(8);
    }
    expect(numbers.size).toBe(5);
    expect(proposals.applied(first)).toBeUndefined(); // an attempt that was given up
    expect(proposals.sentCount).toBe(6);
    const last = proposals.applied(Buffer.from(batch?.payload ?? body));
    expect(last).toBe(batch);
    if (last !== undefined) answer(last, 0, "done");
    expect(seen).toEqual(["done"]);
  });

  test("batches are in nobody's hands, or were given to the leader of a term", () => {
    const proposals = new Proposals<string>(ORIGIN, 1);
    const batches = [0, 3, 5, 0, 3].map((term) => {
      add(proposals, []);
      const batch = proposals.take(0);
      if (batch === undefined) throw new Error("there is a batch");
      batch.term = term;
      return batch;
    });
    const [first, second, third, fourth, fifth] = batches;
    expect(proposals.unplaced()).toEqual([first, fourth] as typeof batches);
    expect(proposals.placedBefore(3)).toEqual([]);
    expect(proposals.placedBefore(4)).toEqual([second, fifth] as typeof batches);
    expect(proposals.placedBefore(6)).toEqual([second, third, fifth] as typeof batches);
  });

  test("what expires is asked for each batch that is old enough, and may wait on", () => {
    const proposals = new Proposals<string>(ORIGIN, 1);
    const seen: (string | AetherError)[] = [];
    for (const nowMs of [10, 20, 21]) {
      add(proposals, seen);
      proposals.take(nowMs);
    }
    const asked: number[] = [];
    proposals.expire(20, ({ sentMs }) => {
      asked.push(sentMs);
      return sentMs === 20 ? new AetherError("timeout") : undefined;
    });
    expect(asked).toEqual([10, 20]);
    expect([seen.length, proposals.sentCount, proposals.failedCount]).toEqual([1, 2, 1]);
  });

  test("a change of the membership is a batch of its own, whatever is being filled", () => {
    const proposals = new Proposals<string>(ORIGIN, 1);
    const [filled, changed]: (string | AetherError)[][] = [[], []];
    add(proposals, filled as string[]);
    const change = proposals.change(CommandKind.memberAdd, body, 5, (outcome) => {
      changed?.push(outcome);
    });
    const batch = proposals.take(6);
    expect([change.isChange, batch?.isChange, change.sequence === batch?.sequence]).toEqual([
      true,
      false,
      false,
    ]);
    const reader = new BatchReader(asBuffer(change.payload));
    reader.next();
    expect([reader.count, reader.kind, reader.sequence]).toEqual([
      1,
      CommandKind.memberAdd,
      change.sequence,
    ]);
    expect(() => proposals.again(change)).toThrow("not proposed again");
    proposals.refuse(change, new AetherError("leader_changed"));
    expect([changed?.length, filled?.length]).toEqual([1, 0]);
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
      const found = proposals.applied(reader.payload);
      expect(found).toBe(batch);
      if (found !== undefined) answer(found, 0, "done");
      expect(seen).toEqual(["done"]);
    }
  });

  test("what waits is counted by call, and large calls as several", () => {
    const proposals = new Proposals<string>(ORIGIN, 1);
    const large = new Uint8Array(100 * 1024);
    for (let i = 0; i < 3; i++) proposals.add(CommandKind.put, large, 0, 10, () => {});
    expect(proposals.load).toBe(3);
    proposals.add(CommandKind.put, large, 0, large.length, () => {});
    expect(proposals.load).toBe(4 + 6); // of 16 KiB
    const batch = proposals.take(0);
    expect(proposals.load).toBe(4 + 6);
    proposals.refuse(batch as SentBatch<string>, new AetherError("stopped"));
    expect(proposals.load).toBe(0);
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
