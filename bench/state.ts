/**
 * The state machine alone: no log, no disk, a history in memory. Prints one JSON line a row with
 * the figure to beat from the table in the design notes. A smoke test by default; `--full` takes
 * more and larger rounds. Fixed keys and values, so two runs do the same work.
 */
import { ByteWriter } from "../src/base/bytes.ts";
import { Prng } from "../src/base/prng.ts";
import {
  Compare,
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../src/proto/gen/etcdserverpb.ts";
import type { MessageType } from "../src/proto/message.ts";
import { addCommand, beginBatch, CommandKind, endBatch } from "../src/state/command.ts";
import { StateMachine } from "../src/state/machine.ts";
import type { History, Row, StateBatch, StoredState } from "../src/state/ports.ts";
import type { Outcome } from "../src/state/results.ts";

const FULL = process.argv.includes("--full");
const OPERATIONS = FULL ? 100_000 : 20_000;
const ROUNDS = FULL ? 9 : 3;
const KEYS = 20_000;
/** Commands an entry: a turn's worth under load. */
const BATCH = 50;
/** Distinct commands: few enough to lie in the processor's cache, as those just received do. */
const DISTINCT = 4000;

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

/** Prints the median and the best of some rounds; `toBeat` is in the same unit. */
function report(work: string, unit: string, rounds: readonly number[], toBeat?: number): void {
  const sorted = rounds.toSorted((a, b) => a - b);
  const median = Number((sorted[sorted.length >> 1] as number).toPrecision(3));
  const best = Number((sorted[0] as number).toPrecision(3));
  const row = { bench: "state", work, unit, median, best };
  const ratio = toBeat === undefined ? {} : { toBeat, ratio: +(toBeat / median).toFixed(2) };
  console.log(JSON.stringify({ ...row, ...ratio }));
}

const NS = 1;
const US = 1000;
const MS = 1_000_000;

/** Runs `round` ROUNDS times after one to warm up; each returns ns for one operation. */
function rounds(nsPerUnit: number, round: () => number): number[] {
  round();
  return Array.from({ length: ROUNDS }, () => round() / nsPerUnit);
}

/** ns of one call, over `count` calls. */
function timed(count: number, call: (i: number) => void): number {
  const started = Bun.nanoseconds();
  for (let i = 0; i < count; i++) call(i);
  return (Bun.nanoseconds() - started) / count;
}

function puts(count: number, valueBytes: number): Uint8Array[] {
  const value = new Uint8Array(valueBytes).fill(120);
  return Array.from({ length: count }, () =>
    encoded(PutRequest, { key: keyOf(rng.below(KEYS)), value }),
  );
}

const put = CommandKind.put;

/** ns for one of `payloads`, applied over and over until OPERATIONS commands were. */
function applied(bed: Bed, payloads: readonly Uint8Array[], perEntry: number): number {
  const times = Math.max(1, Math.round(OPERATIONS / perEntry / payloads.length));
  let ns = 0;
  for (let i = 0; i < times; i++) ns += bed.apply(payloads);
  return ns / times / payloads.length;
}

function filledBed(): Bed {
  const bed = new Bed();
  const value = new Uint8Array(256);
  const bodies = Array.from({ length: KEYS }, (_, i) =>
    encoded(PutRequest, { key: keyOf((i * 7919) % KEYS), value }),
  );
  bed.apply(entries({ kind: put, bodies }, BATCH));
  return bed;
}

function benchPut(name: string, valueBytes: number, toBeat: number, distinct = DISTINCT): void {
  const bed = filledBed();
  const payloads = entries({ kind: put, bodies: puts(distinct, valueBytes) }, BATCH);
  report(
    name,
    "us",
    rounds(US, () => applied(bed, payloads, BATCH) / BATCH),
    toBeat,
  );
}

function benchReads(bed: Bed): void {
  const { machine } = bed;
  const present = Array.from({ length: 1000 }, () => keyOf(rng.below(KEYS)));
  const absent = present.map((key) => `${key}-absent`);
  const get = (keys: readonly string[]) => (): number =>
    timed(OPERATIONS, (i) => machine.get(keys[i % 1000] as string));
  report("get hit", "ns", rounds(NS, get(present)), 442);
  report("get miss", "ns", rounds(NS, get(absent)), 121);
  const one = RangeRequest.create();
  const rangeOne = (i: number): void => {
    one.key = present[i % 1000] as string;
    machine.range(one);
  };
  report(
    "range of one key",
    "ns",
    rounds(NS, () => timed(OPERATIONS, rangeOne)),
  );
  for (const [limit, toBeat] of [
    [100, 12.9],
    [1000, 149],
  ] as const) {
    const starts = Array.from({ length: 1000 }, () => keyOf(rng.below(KEYS - limit)));
    const scan = RangeRequest.create({ rangeEnd: "\0", limit });
    const rangeMany = (i: number): void => {
      scan.key = starts[i % 1000] as string;
      machine.range(scan);
    };
    const calls = Math.ceil(OPERATIONS / limit);
    report(
      `scan ${limit} keys`,
      "us",
      rounds(US, () => timed(calls, rangeMany)),
      toBeat,
    );
  }
}

function benchPastPage(bed: Bed): void {
  const { revision } = bed.machine;
  bed.apply(entries({ kind: put, bodies: puts(100, 256) }, BATCH));
  const page = RangeRequest.create({ rangeEnd: "\0", limit: 500, revision });
  const rangePast = (i: number): void => {
    page.key = keyOf((i * 7919) % (KEYS - 500));
    bed.machine.range(page);
  };
  report(
    "page of 500 at a past revision",
    "us",
    rounds(US, () => timed(100, rangePast)),
  );
}

function benchNewAndDelete(): void {
  const bed = new Bed();
  const value = new Uint8Array(256);
  const count = OPERATIONS / 5;
  let next = 0;
  const ascending: number[] = [];
  const deleting: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const keys = Array.from({ length: count }, () => keyOf(next++));
    const fill = keys.map((key) => encoded(PutRequest, { key, value }));
    ascending.push(bed.apply(entries({ kind: put, bodies: fill }, BATCH)) / count / US);
    for (let i = count - 1; i > 0; i--) {
      const j = rng.below(i + 1);
      [keys[i], keys[j]] = [keys[j] as string, keys[i] as string];
    }
    const bodies = keys.map((key) => encoded(DeleteRangeRequest, { key }));
    const kind = CommandKind.deleteRange;
    deleting.push(bed.apply(entries({ kind, bodies }, BATCH)) / count / US);
  }
  report("put of a new key, ascending", "us", ascending.slice(1));
  report("delete", "us", deleting.slice(1), 1.4);
}

function benchNewKeys(): void {
  const bed = new Bed();
  const value = new Uint8Array(256);
  const count = OPERATIONS / 5;
  const round = (): number => {
    const bodies = Array.from({ length: count }, () =>
      encoded(PutRequest, { key: keyOf(rng.u32()), value }),
    );
    return bed.apply(entries({ kind: put, bodies }, BATCH)) / count;
  };
  report("put of a new key, random", "us", rounds(US, round));
}

function benchBatches(): void {
  const bed = filledBed();
  const payloads = entries({ kind: put, bodies: puts(DISTINCT, 256) }, 10);
  report(
    "batch of 10 writes",
    "us",
    rounds(US, () => applied(bed, payloads, 10)),
    5.8,
  );
}

function benchTxn(): void {
  const bed = filledBed();
  const value = new Uint8Array(256);
  const bodies = Array.from({ length: DISTINCT }, () => {
    const key = keyOf(rng.below(KEYS));
    const { GREATER } = CompareResult;
    const condition = { result: GREATER, target: CompareTarget.MOD, key, modRevision: 1 };
    return encoded(TxnRequest, {
      compare: [Compare.create(condition)],
      success: [RequestOp.create({ requestPut: PutRequest.create({ key, value }) })],
      failure: [RequestOp.create({ requestRange: RangeRequest.create({ key }) })],
    });
  });
  const payloads = entries({ kind: CommandKind.txn, bodies }, BATCH);
  const round = (): number => applied(bed, payloads, BATCH) / BATCH;
  report("txn: compare mod revision, put", "us", rounds(US, round));
}

function benchRestore(): void {
  const count = FULL ? 1_000_000 : 100_000;
  const value = new Uint8Array(256);
  const bed = new Bed();
  for (let from = 0; from < count; from += 10_000) {
    const bodies = Array.from({ length: 10_000 }, () =>
      encoded(PutRequest, { key: keyOf(rng.u32()), value }),
    );
    bed.apply(entries({ kind: put, bodies }, 1000));
  }
  const stored = bed.history.stored();
  const round = (): number => {
    const machine = new StateMachine(bed.history);
    return timed(1, () => machine.restore(stored));
  };
  report(`restore ${count} keys`, "ms", rounds(MS, round));
}

benchPut("put 256 B", 256, 1.6);
benchPut("put 1 KB", 1024, 2.2);
benchPut("put 64 KB", 65_536, 26, 100);
benchBatches();
benchTxn();
benchReads(filledBed());
benchPastPage(filledBed());
benchNewKeys();
benchNewAndDelete();
benchRestore();
