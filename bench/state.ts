/**
 * The state machine alone: no log, no disk, a history in memory. Prints one JSON line a row with
 * the figure to beat from the table in the design notes. A smoke test by default; `--full` takes
 * ten times as many operations. Fixed keys and values, so two runs do the same work.
 */
import { ByteWriter } from "../src/base/bytes.ts";
import { Prng } from "../src/base/prng.ts";
import {
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  TxnRequest,
} from "../src/proto/gen/etcdserverpb.ts";
import type { MessageType } from "../src/proto/message.ts";
import { addCommand, beginBatch, CommandKind, endBatch } from "../src/state/command.ts";
import { StateMachine } from "../src/state/machine.ts";
import type { History, Row, StateBatch, StoredState } from "../src/state/ports.ts";
import type { Outcome } from "../src/state/results.ts";

const FULL = process.argv.includes("--full");
const OPERATIONS = FULL ? 500_000 : 50_000;
const KEYS = 20_000;
/** Commands an entry: a turn's worth under load. */
const BATCH = 50;

const rng = new Prng(1);
const out = new ByteWriter();
const scratch = new ByteWriter();

const keyOf = (i: number): string => `/registry/pods/default/pod-${String(i).padStart(8, "0")}`;

function encoded<T>(type: MessageType<T>, message: Partial<T>): Uint8Array {
  scratch.reset();
  type.encode(type.create(message), scratch);
  return scratch.copy();
}

/** Keeps only each key's latest row, so that the bench measures the machine and not the heap. */
class LatestHistory implements History {
  readonly #rows = new Map<number, Row>();
  #last = 0;

  read(seq: number): Row | undefined {
    return this.#rows.get(seq);
  }

  scan(): Row[] {
    return [];
  }

  seek(): number | undefined {
    return undefined;
  }

  store({ rows }: StateBatch): void {
    for (const row of rows) {
      this.#rows.set(row.seq, row);
      this.#rows.delete(row.prev);
      this.#last = row.seq;
    }
  }

  stored(): StoredState {
    const { appliedIndex, appliedTerm } = { appliedIndex: this.#last, appliedTerm: 1 };
    return { appliedIndex, appliedTerm, records: [], rows: [...this.#rows.values()] };
  }
}

interface Work {
  readonly kind: CommandKind;
  readonly bodies: readonly Uint8Array[];
}

function entries({ kind, bodies }: Work, perEntry: number): Uint8Array[] {
  const payloads: Uint8Array[] = [];
  for (let i = 0; i < bodies.length; i += perEntry) {
    const batch = bodies.slice(i, i + perEntry);
    beginBatch(out, 1n, i);
    for (const body of batch) addCommand(out, kind, body, 0, body.length);
    payloads.push(endBatch(out, batch.length));
  }
  return payloads;
}

class Bed {
  readonly history = new LatestHistory();
  readonly machine = new StateMachine(this.history);
  #index = 0;

  /** Applies payloads, storing after each as a node does; returns the machine's own ns. */
  apply(payloads: readonly Uint8Array[]): number {
    const sink = (_: number, outcome: Outcome): void => {
      if (outcome instanceof Error) throw outcome;
    };
    let ns = 0;
    for (const payload of payloads) {
      const started = Bun.nanoseconds();
      this.machine.apply(++this.#index, 1, payload, sink);
      const rows = this.machine.takeRows();
      const batch = this.machine.takeBatch();
      ns += Bun.nanoseconds() - started;
      this.history.store(batch);
      const last = rows[rows.length - 1];
      if (last !== undefined) this.machine.stored(last.seq);
    }
    return ns;
  }
}

function report(work: string, unit: string, each: number, toBeat: number | null): void {
  const figure = Number(each.toPrecision(3));
  const row = { bench: "state", work, [unit]: figure, toBeat };
  console.log(
    JSON.stringify(toBeat === null ? row : { ...row, ratio: +(toBeat / each).toFixed(2) }),
  );
}

function puts(count: number, valueBytes: number, keys = KEYS): Uint8Array[] {
  const value = new Uint8Array(valueBytes).fill(120);
  return Array.from({ length: count }, () =>
    encoded(PutRequest, { key: keyOf(rng.below(keys)), value }),
  );
}

function benchPut(valueBytes: number, name: string, toBeat: number, count: number): Bed {
  const bed = new Bed();
  const kind = CommandKind.put;
  bed.apply(entries({ kind, bodies: puts(count / 5, valueBytes) }, BATCH));
  const bodies = puts(count, valueBytes);
  report(name, "us", bed.apply(entries({ kind, bodies }, BATCH)) / count / 1000, toBeat);
  return bed;
}

function benchReads(bed: Bed): void {
  const present = Array.from({ length: 1000 }, () => keyOf(rng.below(KEYS)));
  const absent = present.map((key) => `${key}-absent`);
  const get = (keys: readonly string[]): number => {
    let bytes = 0;
    const started = Bun.nanoseconds();
    for (let i = 0; i < OPERATIONS; i++)
      bytes += bed.machine.get(keys[i % 1000] as string)?.length ?? 0;
    const ns = (Bun.nanoseconds() - started) / OPERATIONS;
    return bytes < 0 ? 0 : ns;
  };
  get(present);
  report("get hit", "ns", get(present), 442);
  report("get miss", "ns", get(absent), 121);
  const request = RangeRequest.create({ key: present[0] as string });
  let started = Bun.nanoseconds();
  for (let i = 0; i < OPERATIONS; i++) {
    request.key = present[i % 1000] as string;
    bed.machine.range(request);
  }
  report("range of one key", "ns", (Bun.nanoseconds() - started) / OPERATIONS, null);
  for (const [limit, toBeat] of [
    [100, 12.9],
    [1000, 149],
  ] as const) {
    const rounds = Math.ceil(OPERATIONS / limit);
    const scan = RangeRequest.create({ key: keyOf(0), rangeEnd: "\0", limit });
    for (let warm = 0; warm < rounds; warm++) bed.machine.range(scan);
    started = Bun.nanoseconds();
    for (let i = 0; i < rounds; i++) {
      scan.key = keyOf(rng.below(KEYS - limit));
      bed.machine.range(scan);
    }
    report(`scan ${limit} keys`, "us", (Bun.nanoseconds() - started) / rounds / 1000, toBeat);
  }
}

function benchPastPage(bed: Bed): void {
  const revision = bed.machine.revision;
  bed.apply(entries({ kind: CommandKind.put, bodies: puts(100, 256) }, BATCH));
  const page = RangeRequest.create({ key: keyOf(0), rangeEnd: "\0", limit: 500, revision });
  const rounds = 200;
  const started = Bun.nanoseconds();
  for (let i = 0; i < rounds; i++) {
    page.key = keyOf(rng.below(KEYS - 500));
    bed.machine.range(page);
  }
  report(
    "page of 500 at a past revision",
    "us",
    (Bun.nanoseconds() - started) / rounds / 1000,
    null,
  );
}

function benchDelete(): void {
  const bed = new Bed();
  const value = new Uint8Array(256);
  const count = OPERATIONS;
  const fill = Array.from({ length: count }, (_, i) =>
    encoded(PutRequest, { key: keyOf(i), value }),
  );
  const ns = bed.apply(entries({ kind: CommandKind.put, bodies: fill }, BATCH));
  report("put of a new key, ascending", "us", ns / count / 1000, null);
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = rng.below(i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  const bodies = order.map((i) => encoded(DeleteRangeRequest, { key: keyOf(i) }));
  const deleted = bed.apply(entries({ kind: CommandKind.deleteRange, bodies }, BATCH));
  report("delete", "us", deleted / count / 1000, 1.4);
}

function benchNewKeys(): void {
  const bed = new Bed();
  const value = new Uint8Array(256);
  const bodies = Array.from({ length: OPERATIONS }, () =>
    encoded(PutRequest, { key: `${keyOf(rng.u32())}`, value }),
  );
  const ns = bed.apply(entries({ kind: CommandKind.put, bodies }, BATCH));
  report("put of a new key, random", "us", ns / OPERATIONS / 1000, null);
}

function benchBatches(): void {
  const bed = new Bed();
  const count = OPERATIONS / 10;
  bed.apply(entries({ kind: CommandKind.put, bodies: puts(count * 2, 256) }, 10));
  const ns = bed.apply(entries({ kind: CommandKind.put, bodies: puts(count * 10, 256) }, 10));
  report("batch of 10 writes", "us", ns / count / 1000, 5.8);
}

function benchTxn(): void {
  const bed = new Bed();
  const value = new Uint8Array(256);
  bed.apply(entries({ kind: CommandKind.put, bodies: puts(KEYS, 256) }, BATCH));
  const bodies = Array.from({ length: OPERATIONS }, () => {
    const key = keyOf(rng.below(KEYS));
    const put = PutRequest.create({ key, value });
    const none = { requestRange: undefined, requestDeleteRange: undefined, requestTxn: undefined };
    const range = RangeRequest.create({ key });
    const compare = { result: 1, target: 2, key, modRevision: 1, rangeEnd: "" };
    return encoded(TxnRequest, {
      compare: [
        {
          ...compare,
          version: undefined,
          createRevision: undefined,
          value: undefined,
          lease: undefined,
        },
      ],
      success: [{ ...none, requestPut: put }],
      failure: [{ ...none, requestPut: undefined, requestRange: range }],
    });
  });
  const ns = bed.apply(entries({ kind: CommandKind.txn, bodies }, BATCH));
  report("txn: compare mod revision, put", "us", ns / OPERATIONS / 1000, null);
}

function benchRestore(): void {
  const count = FULL ? 1_000_000 : 100_000;
  const value = new Uint8Array(256);
  const bed = new Bed();
  for (let from = 0; from < count; from += 10_000) {
    const bodies = Array.from({ length: 10_000 }, () =>
      encoded(PutRequest, { key: keyOf(rng.u32()), value }),
    );
    bed.apply(entries({ kind: CommandKind.put, bodies }, 1000));
  }
  const stored = bed.history.stored();
  const started = Bun.nanoseconds();
  const machine = new StateMachine(bed.history);
  machine.restore(stored);
  report(`restore ${count} keys`, "ms", (Bun.nanoseconds() - started) / 1e6, null);
}

const bed = benchPut(256, "put 256 B", 1.6, OPERATIONS);
benchReads(bed);
benchPastPage(bed);
benchPut(1024, "put 1 KB", 2.2, OPERATIONS);
benchPut(65_536, "put 64 KB", 26, 2000);
benchNewKeys();
benchDelete();
benchBatches();
benchTxn();
benchRestore();
