/**
 * The machine against the naive model: thousands of random commands and reads, with flushes,
 * restarts, interrupted physical compactions, sliced reads that outlive compactions, and caches
 * too small for anything. A second replica does the same at other moments and must agree.
 */
import { expect } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { Prng } from "../../src/base/prng.ts";
import { LeaseExpire } from "../../src/proto/gen/aether.v1.ts";
import {
  CompactionRequest,
  DeleteRangeRequest,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  PutRequest,
  TxnRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { createRevisionOf } from "../../src/proto/hot/key-value.ts";
import { CommandKind } from "../../src/state/command.ts";
import { StateMachine } from "../../src/state/machine.ts";
import type { RangeCursor } from "../../src/state/range.ts";
import type { Outcome } from "../../src/state/results.ts";
import type { KeyRow } from "../../src/state/row.ts";
import { stateHash } from "../../src/state/state-hash.ts";
import { checkTxn } from "../../src/state/validate.ts";
import { verify } from "../../src/state/verify.ts";
import { batchOf, type Command, decodeKv, encoded } from "./driver.ts";
import { MemoryHistory } from "./memory-history.ts";
import { Model, type Shown, shown, type Version } from "./model.ts";
import { Requests } from "./requests.ts";

/** One replica: a machine, its store, and its own moments for everything that must not matter. */
class Replica {
  machine: StateMachine;
  readonly rows: KeyRow[] = [];
  readonly #history = new MemoryHistory();
  readonly #cacheBytes: number;
  readonly #rng: Prng;
  #cursors: { cursor: RangeCursor; expected: unknown }[] = [];

  constructor(seed: number, cacheBytes: number) {
    this.#rng = new Prng(seed);
    this.#cacheBytes = cacheBytes;
    this.machine = new StateMachine(this.#history, cacheBytes);
  }

  apply(payload: Uint8Array): Outcome[] {
    const outcomes: Outcome[] = [];
    const { machine } = this;
    machine.apply(machine.appliedIndex + 1, 1, payload, (_, outcome) => outcomes.push(outcome));
    this.rows.push(...machine.takeRows());
    return outcomes;
  }

  hold(cursor: RangeCursor, expected: unknown): void {
    this.#cursors.push({ cursor, expected });
  }

  /** Does some of what drivers do between entries. */
  betweenEntries(): void {
    const rng = this.#rng;
    if (rng.chance(30)) this.#flush();
    if (rng.chance(3)) this.#restart();
    if (rng.chance(4)) {
      this.#flush();
      const rowsMax = rng.chance(50) ? Number.POSITIVE_INFINITY : rng.below(50);
      this.#history.compact(this.machine.physicalTarget(), rowsMax);
    }
    if (rng.chance(20)) this.machine.sweep(rng.below(4));
    this.#cursors = this.#cursors.filter(({ cursor, expected }) => {
      if (!rng.chance(50)) return true;
      if (!cursor.step(1 + rng.below(12), 1 + rng.below(200))) return true;
      expect(normal(cursor.result())).toEqual(expected);
      cursor.close();
      return false;
    });
  }

  #flush(): void {
    const batch = this.machine.takeBatch();
    this.#history.store(batch);
    const last = batch.rows[batch.rows.length - 1];
    if (last !== undefined && this.#rng.chance(80)) this.machine.stored(last.seq);
  }

  #restart(): void {
    this.#flush();
    this.#cursors = [];
    const { appliedIndex } = this.machine;
    this.machine = new StateMachine(this.#history, this.#cacheBytes);
    this.machine.restore(this.#history.stored());
    expect(this.machine.appliedIndex).toBe(appliedIndex);
  }
}

function shownKv(kv: Uint8Array): Shown {
  const { key, createRevision, modRevision, version, value, lease } = decodeKv(kv);
  const text = Buffer.from(value).toString("latin1");
  return { key, create: createRevision, mod: modRevision, version, value: text, lease };
}

/** A machine's outcome in the model's words. */
function normal(outcome: Outcome | ReturnType<StateMachine["range"]>): unknown {
  if (outcome instanceof AetherError) return outcome.code;
  switch (outcome.kind) {
    case "put":
      return { ...outcome, previous: outcome.previous && shownKv(outcome.previous) };
    case "deleteRange":
      return { ...outcome, previous: outcome.previous.map(shownKv) };
    case "range":
      return { ...outcome, kvs: outcome.kvs.map(shownKv) };
    case "txn":
      return { ...outcome, responses: outcome.responses.map(normal) };
    default:
      return outcome;
  }
}

/** Runs something of the model's; an error is its code. */
function modelled(model: Model, run: () => unknown): unknown {
  try {
    const result = run();
    model.commit();
    return result;
  } catch (error) {
    if (error instanceof AetherError) return error.code;
    throw error;
  }
}

class Run {
  readonly model = new Model();
  readonly #rng: Prng;
  readonly #requests: Requests;
  readonly #replicas: readonly Replica[];

  constructor(seed: number) {
    this.#rng = new Prng(seed);
    this.#requests = new Requests(this.#rng);
    const cacheBytes = this.#rng.pick([0, 1000, 1 << 20]);
    this.#replicas = [new Replica(seed + 1, cacheBytes), new Replica(seed + 2, 1 << 20)];
  }

  step(): void {
    this.#requests.revision = this.model.revision;
    const commands: Command[] = [];
    const expected: unknown[] = [];
    for (let count = this.#rng.below(3); count >= 0; count--) {
      const [command, result] = this.#command();
      commands.push(command);
      expected.push(result);
      this.#requests.revision = this.model.revision;
    }
    const payload = batchOf(commands);
    for (const replica of this.#replicas) {
      const outcomes = replica.apply(payload);
      expect(outcomes.map(normal)).toEqual(expected);
      expect(replica.machine.revision).toBe(this.model.revision);
      expect(replica.machine.compactRevision).toBe(this.model.compactRevision);
      this.#read(replica);
      replica.betweenEntries();
    }
  }

  /** What is too dear to compare after every entry. */
  check(): void {
    const [first, second] = this.#replicas as [Replica, Replica];
    for (const replica of this.#replicas) {
      verify(replica.machine);
      this.#checkLeases(replica.machine);
      this.#checkHistory(replica.machine);
      expect(replica.rows.map(rowText)).toEqual(this.model.changes.map(changeText));
    }
    expect(stateHash(first.machine)).toBe(stateHash(second.machine));
  }

  #read(replica: Replica): void {
    const { machine } = replica;
    const request = this.#requests.range();
    const expected = modelled(this.model, () => this.model.range(request));
    const found = modelled(this.model, () => normal(machine.range(request)));
    expect(found).toEqual(expected);
    if (typeof expected === "object" && this.#rng.chance(20)) {
      replica.hold(machine.openRange(request), expected);
    }
    const key = this.#requests.key();
    const one = machine.get(key);
    const version = this.model.at(key, this.model.revision);
    expect(one && shownKv(one)).toEqual(version && shown(version));
  }

  #checkLeases(machine: StateMachine): void {
    expect(machine.leaseCount).toBe(this.model.leases.size);
    for (const [id, ttlSeconds] of this.model.leases) {
      expect(machine.lease(id)).toEqual({ id, ttlSeconds, keys: this.model.keysOf(id) });
    }
    expect(machine.keyCount).toBe(this.model.all("\0", "\0", this.model.revision).length);
  }

  /** Reads the history as the watch hub does, from a revision above the compaction point. */
  #checkHistory(machine: StateMachine): void {
    const oldest = Math.max(1, this.model.compactRevision + 1);
    const from = oldest + this.#rng.below(Math.max(1, this.model.revision - oldest + 2));
    const rows: KeyRow[] = [];
    for (let seq = machine.seek(from); ; ) {
      const found = machine.scan(seq, 1 + this.#rng.below(20));
      if (found.length === 0) break;
      rows.push(...found);
      seq = (found[found.length - 1] as KeyRow).seq + 1;
    }
    const changes = this.model.changes.filter((change) => change.revision >= from);
    expect(rows.map(rowText)).toEqual(changes.map(changeText));
    for (const row of rows) {
      const creates = !row.tombstone && createRevisionOf(row.kv) === row.revision;
      const before = creates ? undefined : this.model.at(row.key, row.revision - 1);
      const visible = row.revision - 1 >= this.model.compactRevision;
      const previous = machine.prevKv(row);
      const removed = previous === undefined && !visible;
      if (!removed) expect(previous && shownKv(previous)).toEqual(before && shown(before));
    }
  }

  #command(): [Command, unknown] {
    const { model } = this;
    const roll = this.#rng.below(100);
    const expect = (run: () => unknown): unknown => modelled(model, run);
    if (roll < 40) {
      const request = this.#requests.put();
      const command = { kind: CommandKind.put, body: encoded(PutRequest, request) };
      return [command, expect(() => model.put(request))];
    }
    if (roll < 55) {
      const request = this.#requests.deleteRange();
      const command = { kind: CommandKind.deleteRange, body: encoded(DeleteRangeRequest, request) };
      return [command, expect(() => model.deleteRange(request))];
    }
    if (roll < 85) {
      const request = this.#validTxn();
      const command = { kind: CommandKind.txn, body: encoded(TxnRequest, request) };
      return [command, expect(() => model.txn(request))];
    }
    if (roll < 88) return this.#compaction();
    return this.#leaseCommand();
  }

  #validTxn(): TxnRequest {
    for (;;) {
      const request = this.#requests.txn();
      if (modelled(this.model, () => checkTxn(request)) === undefined) return request;
    }
  }

  #compaction(): [Command, unknown] {
    const revision = Math.max(0, this.model.revision + 2 - this.#rng.below(40));
    const body = encoded(CompactionRequest, { revision });
    const result = modelled(this.model, () => {
      this.model.compact(revision);
      return { kind: "compact", revision: this.model.revision, compactRevision: revision };
    });
    return [{ kind: CommandKind.compact, body }, result];
  }

  #leaseCommand(): [Command, unknown] {
    const { model } = this;
    const ID = this.#requests.lease();
    if (this.#rng.chance(60)) {
      const TTL = 1 + this.#rng.below(100);
      const body = encoded(LeaseGrantRequest, { ID, TTL });
      const result = modelled(model, () => {
        model.grant(ID, TTL);
        return { kind: "leaseGrant", revision: model.revision, id: ID, ttlSeconds: TTL };
      });
      return [{ kind: CommandKind.leaseGrant, body }, result];
    }
    if (this.#rng.chance(50)) {
      const result = modelled(model, () => {
        model.revoke(ID);
        return { kind: "leaseRevoke", revision: model.revision, id: ID };
      });
      return [{ kind: CommandKind.leaseRevoke, body: encoded(LeaseRevokeRequest, { ID }) }, result];
    }
    const term = this.#rng.chance(80) ? 1 : 2;
    const IDs = [ID, this.#requests.lease()];
    const body = encoded(LeaseExpire, { IDs, term });
    if (term !== 1) return [{ kind: CommandKind.leaseExpire, body }, "not_primary_lessor"];
    const ids = IDs.filter((id) => modelled(model, () => model.revoke(id)) === undefined);
    const result = { kind: "leaseExpire", revision: model.revision, ids };
    return [{ kind: CommandKind.leaseExpire, body }, result];
  }
}

function rowText(row: KeyRow): string {
  const { create, mod, version, value, lease } = shownKv(row.kv);
  const life = row.tombstone ? "dead" : "live";
  return [row.key, row.revision, row.sub, life, create, mod, version, value, lease].join("|");
}

function changeText(change: Version): string {
  const { key, revision, sub, create, version, value, lease } = change;
  const life = version === 0 ? "dead" : "live";
  return [key, revision, sub, life, create, revision, version, value, lease].join("|");
}

/** Steps between two looks at everything. */
const CHECK_STEPS = 150;

/** One run; the same on every machine. Throws at the first thing that differs. */
export function runModel(seed: number, steps: number): void {
  const run = new Run(seed);
  for (let step = 1; step <= steps; step++) {
    run.step();
    if (step % CHECK_STEPS === 0) run.check();
  }
}
