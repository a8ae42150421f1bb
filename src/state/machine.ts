/**
 * The replicated machine: applies the log's commands to the key space. A pure function of the log:
 * the same entries give the same results, rows and records on every replica, whatever the time,
 * whatever is cached, pinned or physically compacted.
 *
 * How the driver runs it, in one turn:
 *   apply() each committed entry (advance() for those without commands) ─▶ takeRows() to the watch
 *   hub, results to the callers ─▶ takeBatch() to the store ─▶ when it is readable there: stored()
 *
 * A command fails as a whole or not at all: everything that can fail is checked before anything
 * is changed (asserted by `changes` being 0 when a command has failed).
 */
import { assert } from "../base/assert.ts";
import { asBuffer, type Key } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
import { DecodeError } from "../proto/decode-error.ts";
import { LeaseCheckpoints, LeaseExpire } from "../proto/gen/aether.v1.ts";
import {
  type AlarmMember,
  CompactionRequest,
  DeleteRangeRequest,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  type Member,
  type RangeRequest,
  TxnRequest,
} from "../proto/gen/etcdserverpb.ts";
import { PutView } from "../proto/hot/put-view.ts";
import type { AuthStore } from "./auth/auth-store.ts";
import type { Question } from "./auth/authorize.ts";
import { type Caller, decodeCaller } from "./auth/caller.ts";
import { judge } from "./auth/judge.ts";
import { ClusterRecords } from "./cluster-records.ts";
import type { ClusterVersion } from "./cluster-version.ts";
import { BatchReader, CommandKind } from "./command.ts";
import { hasCost } from "./cost.ts";
import { KeySpace } from "./key-space.ts";
import { LEASE_TTL_SECONDS_MAX, leaseGone, leaseRecord, sortedEntries } from "./leases.ts";
import type { OperationCounts } from "./operation-counts.ts";
import { deleteRange, put } from "./operations.ts";
import type { History, Row, StateBatch, StateRecord, StoredState } from "./ports.ts";
import { RangeCursor, readRange } from "./range.ts";
import { compactRecord, restoreSpace } from "./restore.ts";
import type {
  CommandResult,
  LeaseExpireResult,
  Outcome,
  RangeResult,
  TxnResult,
} from "./results.ts";
import type { KeyRow } from "./row.ts";
import { runTxn } from "./txn.ts";
import { costInKeys, type TxnCost } from "./txn-cost.ts";
import { TxnCursor } from "./txn-cursor.ts";

/** Latest values kept in memory; what is not here costs a read of the store (2 µs or so). */
export const CACHE_BYTES_MAX = 64 * MIB;

/** Dead keys forgotten with each applied entry: more than an entry usually kills. */
const SWEEP_PER_ENTRY = 64;

/** Takes the outcome of command `position` of the batch that is being applied. */
export type OutcomeSink = (position: number, outcome: Outcome, kind: number) => void;

/** A lease as drivers see it. */
export interface LeaseView {
  readonly id: bigint;
  readonly ttlSeconds: number;
  /** In order of key. */
  readonly keys: readonly Key[];
}

export class StateMachine {
  #appliedIndex = 0;
  #appliedTerm = 0;
  readonly #space: KeySpace;
  readonly #cluster = new ClusterRecords();
  readonly #view = new PutView();
  #records: StateRecord[] = [];
  /** The entry that is being applied, and on whose behalf its next command is. */
  #entryIndex = 0;
  #caller: Caller | undefined = undefined;
  /** The first seq that takeRows() and takeBatch() have not handed out. */
  #rowsFrom = 1;
  #batchFrom = 1;

  /** An empty machine over an empty history, or one to be restored. */
  constructor(history: History, cacheBytesMax: number = CACHE_BYTES_MAX) {
    this.#space = new KeySpace(history, cacheBytesMax);
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  get appliedTerm(): number {
    return this.#appliedTerm;
  }

  /** The current revision; an empty store has 1. */
  get revision(): number {
    return this.#space.revision;
  }

  /** The logical compaction point; -1 before the first compaction. */
  get compactRevision(): number {
    return this.#space.compactRevision;
  }

  /** Live keys. */
  get keyCount(): number {
    return this.#space.index.tree.live;
  }

  /** What ran here so far; grows with every command and read. */
  get counts(): Readonly<OperationCounts> {
    return this.#space.counts;
  }

  get leaseCount(): number {
    return this.#space.leases.size;
  }

  /** Rows that the store has not said it can read. */
  get unstoredCount(): number {
    return this.#space.tail.next - this.#space.tail.first;
  }

  /**
   * Applies the batch of commands in entry `index` of term `term`; `sink` gets each command's
   * outcome at once, in order. The payload is not kept.
   */
  apply(index: number, term: number, payload: Uint8Array, sink: OutcomeSink): void {
    const batch = new BatchReader(asBuffer(payload));
    let position = 0;
    this.#entryIndex = index;
    this.#caller = undefined;
    while (batch.next()) {
      const { kind } = batch;
      if (kind === CommandKind.onBehalf) {
        this.#caller = decodeCaller(batch.payload, batch.start, batch.end);
      } else sink(position++, this.#run(batch, term), kind);
    }
    assert(position === batch.count, "a batch holds as many commands as it says");
    this.advance(index, term);
    this.#space.sweep(SWEEP_PER_ENTRY);
  }

  /** Notes an entry that carries no commands (a term's first entry, the end of a joint phase). */
  advance(index: number, term: number): void {
    assert(index > this.#appliedIndex, "entries are applied once, in order");
    assert(term >= this.#appliedTerm, "terms do not go back");
    this.#appliedIndex = index;
    this.#appliedTerm = term;
  }

  /** Begins as a founder does: who founds is known where the log begins. On a new machine only. */
  found(members: readonly Member[], index: number, term: number): void {
    assert(this.#appliedIndex === 0, "only a new machine is founded");
    for (const member of members) this.#cluster.members.add(member, this.#records);
    this.advance(index, term);
  }

  /** Rows made since the last call, in order, for the watch hub. */
  takeRows(): KeyRow[] {
    const tail = this.#space.tail;
    const rows = tail.slice(this.#rowsFrom, tail.next);
    this.#rowsFrom = tail.next;
    return rows;
  }

  /** Everything to store since the last call. Rows stay readable here until stored(). */
  takeBatch(): StateBatch {
    const tail = this.#space.tail;
    const batch: StateBatch = {
      appliedIndex: this.#appliedIndex,
      appliedTerm: this.#appliedTerm,
      rows: tail.slice(this.#batchFrom, tail.next),
      records: this.#records,
    };
    this.#batchFrom = tail.next;
    this.#records = [];
    return batch;
  }

  /** The history can read rows up to and including `seq` now. */
  stored(seq: number): void {
    assert(seq < this.#batchFrom, "only rows that were handed to the store are stored");
    assert(seq < this.#rowsFrom, "the watch hub takes rows before the store has them");
    this.#space.tail.release(seq);
  }

  /** The encoded key value of a live key, or undefined: the fast way of a point read. */
  get(key: Key): Uint8Array | undefined {
    this.#space.counts.ranges++;
    const entry = this.#space.index.get(key);
    if (entry === undefined || entry.tombstone) return undefined;
    return this.#space.bytesOf(entry);
  }

  /** Reads a range whole. Fails with future_revision or compacted. */
  range(request: RangeRequest): RangeResult {
    return readRange(this.#space, request);
  }

  /** Reads a range in steps while writes go on; pinned, so it must be closed. As range() fails. */
  openRange(request: RangeRequest): RangeCursor {
    this.#space.counts.ranges++;
    const cursor = new RangeCursor(this.#space, request);
    cursor.pin();
    return cursor;
  }

  /** Runs a transaction that only reads (isReadOnly in validate.ts). Fails as runTxn(). */
  readTxn(request: TxnRequest): TxnResult {
    const result = runTxn(this.#space, request);
    assert(this.#space.changes === 0, "a transaction that only reads changes nothing");
    return result;
  }

  /** The same in steps while writes go on; pinned, so it must be closed. */
  openTxn(request: TxnRequest): TxnCursor {
    return new TxnCursor(this.#space, request);
  }

  /** How many keys a transaction may have to look at. */
  costInKeys(request: TxnRequest): TxnCost {
    return costInKeys(this.#space, request);
  }

  /** What a lease is and owns, or undefined. */
  lease(id: bigint): LeaseView | undefined {
    const lease = this.#space.leases.get(id);
    if (lease === undefined) return undefined;
    const keys = sortedEntries(lease).map((entry) => entry.key);
    return { id, ttlSeconds: lease.ttlSeconds, keys };
  }

  hasLease(id: bigint): boolean {
    return this.#space.leases.get(id) !== undefined;
  }

  /** Calls `visit` for every lease; remainingSeconds: see Lease. */
  forEachLease(visit: (id: bigint, ttlSeconds: number, remainingSeconds: number) => void): void {
    for (const { id, ttlSeconds, remainingSeconds } of this.#space.leases.all()) {
      visit(id, ttlSeconds, remainingSeconds);
    }
  }

  /** What a checkpoint says that is left of a lease, in seconds; 0 for none. */
  checkpointOf(id: bigint): number {
    return this.#space.leases.get(id)?.remainingSeconds ?? 0;
  }

  /** In order of id; borrowed, as all that is returned of members and alarms. */
  members(): readonly Member[] {
    return this.#cluster.members.all;
  }

  member(id: bigint): Member | undefined {
    return this.#cluster.members.get(id);
  }

  /** Whether a member had this id and was removed: it can never have it again. */
  isRemoved(id: bigint): boolean {
    return this.#cluster.members.isRemoved(id);
  }

  removedMembers(): readonly bigint[] {
    return this.#cluster.members.removed;
  }

  /** In order of member, then type. */
  alarms(): readonly AlarmMember[] {
    return this.#cluster.alarms.all;
  }

  /** Whether anybody, or the member given, has raised an alarm of `type`. */
  hasAlarm(type: number, memberId?: bigint): boolean {
    return this.#cluster.alarms.has(type, memberId);
  }

  /** Whether a member's own quota raised its NOSPACE. */
  isAlarmByQuota(memberId: bigint): boolean {
    return this.#cluster.alarms.isByQuota(memberId);
  }

  /** What the cluster speaks, and where a downgrade leads to. Borrowed, not to be changed. */
  get clusterVersion(): ClusterVersion {
    return this.#cluster.version;
  }

  /** Users, roles, and whether anybody is asked. */
  get auth(): AuthStore {
    return this.#cluster.auth;
  }

  /** What auth/authorize.ts is asked, as of now. */
  question(caller: Caller | undefined): Question {
    return { auth: this.#cluster.auth, caller, leases: this.#space.leases };
  }

  /** The smallest seq whose row has revision ≥ `revision`; one past the last if none has. */
  seek(revision: number): number {
    return this.#space.seek(revision);
  }

  /** Rows with seq ≥ `from`, in order, at most `limit`; empty only past the last. */
  scan(from: number, limit: number): readonly KeyRow[] {
    return this.#space.scan(from, limit);
  }

  /** What the row's key was at row.revision - 1; undefined if it was not, or is removed. */
  prevKv(row: Row): Uint8Array | undefined {
    return this.#space.previousOf(row);
  }

  /** Up to here the store may remove superseded rows; grows with compactions and ended reads. */
  physicalTarget(): number {
    return this.#space.physicalTarget();
  }

  /** Forgets at most `budget` dead keys that nothing can ask for; true if more wait. */
  sweep(budget: number): boolean {
    return this.#space.sweep(budget);
  }

  /** Takes over what a store held; the machine must be new. */
  restore(stored: StoredState): void {
    assert(this.#appliedIndex === 0, "only a new machine is restored");
    restoreSpace(this.#space, this.#cluster, stored);
    this.#appliedIndex = stored.appliedIndex;
    this.#appliedTerm = stored.appliedTerm;
    this.#rowsFrom = this.#space.tail.next;
    this.#batchFrom = this.#space.tail.next;
  }

  /** What lies under the commands: for hashes and checks. */
  get space(): KeySpace {
    return this.#space;
  }

  /** For checks. */
  get cluster(): ClusterRecords {
    return this.#cluster;
  }

  #run(batch: BatchReader, term: number): Outcome {
    try {
      return this.#runCommand(batch.kind, batch.payload, batch.start, batch.end, term);
    } catch (error) {
      assert(this.#space.changes === 0, "a command that fails has changed nothing");
      if (error instanceof AetherError) return error;
      if (!(error instanceof DecodeError)) throw error;
      return new AetherError("invalid_argument", error.message, { cause: error });
    }
  }

  #runCommand(
    kind: number,
    bytes: Buffer,
    start: number,
    end: number,
    term: number,
  ): CommandResult {
    const space = this.#space;
    if (this.#cluster.alarms.noSpace && hasCost(kind, bytes, start, end)) {
      throw new AetherError("no_space");
    }
    if (this.#cluster.auth.enabled) judge(this.question(this.#caller), kind, bytes, start, end);
    switch (kind) {
      case CommandKind.put: {
        const view = this.#view.read(bytes, start, end);
        const result = put(space, view, bytes, view.valueStart, view.valueEnd);
        space.commit();
        return result;
      }
      case CommandKind.deleteRange: {
        const result = deleteRange(space, DeleteRangeRequest.decode(bytes, start, end));
        space.commit();
        return result;
      }
      case CommandKind.txn: {
        const result = runTxn(space, TxnRequest.decode(bytes, start, end));
        space.commit();
        return result;
      }
      case CommandKind.compact:
        return this.#compact(CompactionRequest.decode(bytes, start, end).revision);
      case CommandKind.leaseGrant:
        return this.#grant(LeaseGrantRequest.decode(bytes, start, end));
      case CommandKind.leaseRevoke:
        return this.#revoke(LeaseRevokeRequest.decode(bytes, start, end).ID);
      case CommandKind.leaseExpire:
        return this.#expire(LeaseExpire.decode(bytes, start, end), term);
      case CommandKind.leaseCheckpoint:
        return this.#checkpoint(LeaseCheckpoints.decode(bytes, start, end), term);
      default:
        return this.#cluster.run(
          { kind, payload: bytes, start, end, index: this.#entryIndex },
          space.revision,
          this.#records,
        );
    }
  }

  #compact(compactRevision: number): CommandResult {
    const space = this.#space;
    if (compactRevision > space.revision) {
      throw new AetherError("future_revision", `asked ${compactRevision}, at ${space.revision}`);
    }
    if (compactRevision <= space.compactRevision) {
      throw new AetherError("compacted", `asked ${compactRevision}, at ${space.compactRevision}`);
    }
    space.compactRevision = compactRevision;
    this.#records.push(compactRecord(space));
    return { kind: "compact", revision: space.revision, compactRevision };
  }

  /** The proposer chose the id and raised the TTL to its minimum. */
  #grant({ ID: id, TTL }: LeaseGrantRequest): CommandResult {
    const space = this.#space;
    const ttlSeconds = Math.max(TTL, 1);
    if (id === 0n) throw new AetherError("lease_not_found", "0 is no lease");
    if (ttlSeconds > LEASE_TTL_SECONDS_MAX) throw new AetherError("lease_ttl_too_large");
    if (space.leases.get(id) !== undefined) throw new AetherError("lease_exists");
    this.#records.push(leaseRecord(space.leases.add(id, ttlSeconds)));
    return { kind: "leaseGrant", revision: space.revision, id, ttlSeconds };
  }

  #revoke(id: bigint): CommandResult {
    if (!this.#endLease(id)) throw new AetherError("lease_not_found", `lease ${id.toString(16)}`);
    return { kind: "leaseRevoke", revision: this.#space.revision, id };
  }

  /** Each lease that owns keys takes a revision of its own, as if revoked one by one. */
  #expire({ IDs, term }: LeaseExpire, entryTerm: number): LeaseExpireResult {
    requireTerm(term, entryTerm);
    const ids = IDs.filter((id) => this.#endLease(id));
    return { kind: "leaseExpire", revision: this.#space.revision, ids };
  }

  /** Notes what is left of leases; unknown ones are passed over. */
  #checkpoint({ IDs, remaining, term }: LeaseCheckpoints, entryTerm: number): CommandResult {
    requireTerm(term, entryTerm);
    for (const [at, id] of IDs.entries()) {
      const lease = this.#space.leases.get(id);
      if (lease === undefined) continue;
      lease.remainingSeconds = Math.min(Math.max(remaining[at] ?? 0, 0), lease.ttlSeconds);
      this.#records.push(leaseRecord(lease));
    }
    return { kind: "leaseCheckpoint", revision: this.#space.revision, ids: IDs };
  }

  /** Deletes what a lease owns, in order of key and in one revision, and the lease. */
  #endLease(id: bigint): boolean {
    const space = this.#space;
    const lease = space.leases.get(id);
    if (lease === undefined) return false;
    for (const entry of sortedEntries(lease)) space.delete(entry);
    space.commit();
    space.leases.remove(lease);
    this.#records.push(leaseGone(id));
    return true;
  }
}

/** A leader's clock counts in its own term only. */
function requireTerm(term: number, entryTerm: number): void {
  if (term === entryTerm) return;
  throw new AetherError("not_primary_lessor", `of term ${term}, applied in ${entryTerm}`);
}
