/**
 * A state out of a database of etcd 3.4 to 3.7, or of ours: what `snapshot restore` makes. The
 * history is taken over as it is, with its revisions; members are not, since whoever restores
 * founds a cluster of his own (etcdutl/snapshot/v3_snapshot.go: Restore).
 *
 * Memory: the place in the chain of its rows for each key there is, some 200 bytes a key, which is
 * less than what a member holds that serves them.
 */
import { asBuffer, type Key, latin1 } from "../../base/bytes.ts";
import { DecodeError } from "../../proto/decode-error.ts";
import { Role, User } from "../../proto/gen/authpb.ts";
import { AlarmAction, AlarmMember, type Member } from "../../proto/gen/etcdserverpb.ts";
import { Lease as StoredLease } from "../../proto/gen/leasepb.ts";
import { KeyValue } from "../../proto/gen/mvccpb.ts";
import { encodeKeyValue } from "../../proto/hot/key-value.ts";
import type { MessageType } from "../../proto/message.ts";
import { Alarms } from "../../state/alarms.ts";
import {
  AUTH_ROLE_SPACE,
  AUTH_SPACE,
  AUTH_USER_SPACE,
  SIGNING_KEY,
} from "../../state/auth/auth-records.ts";
import { extendChain, KeyEntry, Lease } from "../../state/key-entry.ts";
import { LEASE_TTL_SECONDS_MAX, leaseRecord } from "../../state/leases.ts";
import { Members } from "../../state/members.ts";
import type { Row, StateBatch, StateRecord } from "../../state/ports.ts";
import { compactPointRecord } from "../../state/restore.ts";
import { encodeTombstone } from "../../state/stored-form.ts";
import type { BboltReader, Entry } from "../bbolt/reader.ts";
import type { Damaged } from "../storage-error.ts";
import { Bucket, counterOf, MetaKey, revisionOf } from "./schema.ts";

/** Rows handed over at once, and bytes of them: a batch is one message of the store's. */
const BATCH_ROWS = 2000;
const BATCH_BYTES = 4 * 1024 * 1024;

export interface ImportOptions {
  readonly damaged: Damaged;
  /** Who the members are from now on, and the index and term after which the state is. */
  readonly members: readonly Member[];
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  /** Added to the newest revision, which then counts as compacted; 0 for neither. */
  readonly bumpRevision: number;
  /** Takes the state in pieces, in order; the rows' bytes are its own. */
  readonly store: (batch: StateBatch) => void;
}

/** What was taken over. */
export interface Imported {
  readonly revision: number;
  /** -1 for none. */
  readonly compactRevision: number;
  /** Keys that are there at `revision`, and rows of them and of others. */
  readonly keys: number;
  readonly rows: number;
  readonly leases: number;
  readonly users: number;
  readonly roles: number;
  readonly authEnabled: boolean;
}

const EMPTY = new Uint8Array(0);

/** Takes over what `reader` reads. Throws what `damaged` makes if that is no state of etcd's. */
export function importState(reader: BboltReader, options: ImportOptions): Imported {
  return new StateImport(reader, options).run();
}

class StateImport {
  readonly #reader: BboltReader;
  readonly #options: ImportOptions;
  readonly #records: StateRecord[] = [];
  readonly #leases = new Set<bigint>();
  readonly #entries = new Map<Key, KeyEntry>();
  /** Of live keys: newest versions whose lease is not there, not handed over yet. */
  readonly #dangling = new Map<Key, { readonly row: Row; readonly kv: KeyValue }>();
  #rows: Row[] = [];
  #rowBytes = 0;
  #lastSeq = 0;
  #revision = 1;
  #compactRevision = -1;
  #keys = 0;
  #users = 0;
  #roles = 0;
  #authEnabled = false;

  constructor(reader: BboltReader, options: ImportOptions) {
    this.#reader = reader;
    this.#options = options;
  }

  run(): Imported {
    this.#requireEtcd();
    for (const name of [Bucket.lease, Bucket.meta, Bucket.alarm] as const) this.#bucket(name);
    for (const name of [Bucket.auth, Bucket.authRoles, Bucket.authUsers] as const) {
      this.#bucket(name);
    }
    this.#bucket(Bucket.key);
    this.#cutDangling();
    this.#flush();
    this.#settleRevision();
    const members = new Members();
    for (const member of this.#options.members) members.add(member, this.#records);
    this.#store([], this.#records);
    return {
      revision: this.#revision,
      compactRevision: this.#compactRevision,
      keys: this.#keys,
      rows: this.#lastSeq,
      leases: this.#leases.size,
      users: this.#users,
      roles: this.#roles,
      authEnabled: this.#authEnabled,
    };
  }

  /** A database without these two is somebody else's. */
  #requireEtcd(): void {
    const names = new Set([...this.#reader.root()].map(({ key }) => latin1(key)));
    for (const name of [Bucket.key, Bucket.meta]) {
      if (!names.has(name)) throw this.#options.damaged(`no state of etcd's: no bucket ${name}`);
    }
  }

  #bucket(name: (typeof Bucket)[keyof typeof Bucket]): void {
    const bucket = this.#reader.bucket(name);
    if (bucket === undefined) return; // etcd 3.4 has not all of them
    for (const entry of this.#reader.entries(bucket)) {
      if (entry.isBucket) throw this.#options.damaged(`bucket ${name} holds another bucket`);
      if (name === Bucket.key) this.#row(entry);
      else if (name === Bucket.lease) this.#lease(entry);
      else if (name === Bucket.meta) this.#meta(entry);
      else if (name === Bucket.alarm) this.#alarm(entry);
      else this.#auth(name, entry);
    }
  }

  #row({ key: place, value }: Entry): void {
    const { damaged } = this.#options;
    const { main, sub, tombstone } = revisionOf(place, damaged);
    const kv = this.#decode(KeyValue, value, `revision ${main}`);
    this.#revision = main;
    if (kv.key === "") return; // only notes a revision that was bumped: no key is empty
    const right = tombstone || isVersion(kv, main);
    if (!right) throw damaged(`revision ${main} holds version ${kv.version} of ${kv.modRevision}`);
    const entry = this.#entries.get(kv.key) ?? new KeyEntry(kv.key);
    this.#entries.set(kv.key, entry);
    if (entry.tombstone !== tombstone) this.#keys += tombstone ? -1 : 1;
    entry.version = tombstone ? 0 : kv.version;
    const seq = ++this.#lastSeq;
    const prev = entry.seq;
    const jump = extendChain(entry, seq);
    const bytes = tombstone ? encodeTombstone(kv.key, main) : encodeKeyValue(kv);
    const at = { seq, revision: main, sub, prev, jump, depth: entry.depth };
    this.#place({ ...at, tombstone, kv: bytes }, kv);
  }

  /**
   * A live key may name a lease that is not there any more: etcd leaves it without one when it
   * restores (lessor.Attach), but would give it to a lease that is granted that id later, after its
   * next start only. Here members must agree, so the newest version of such a key has no lease;
   * that it is the newest is known when a newer one, or nothing more, comes.
   */
  #place(row: Row, kv: KeyValue): void {
    const held = this.#dangling.get(kv.key);
    if (held !== undefined) {
      this.#dangling.delete(kv.key);
      this.#push(held.row);
    }
    const dangles = !row.tombstone && kv.lease !== 0n && !this.#leases.has(kv.lease);
    if (dangles) this.#dangling.set(kv.key, { row, kv });
    else this.#push(row);
  }

  #cutDangling(): void {
    for (const { row, kv } of this.#dangling.values()) {
      this.#push({ ...row, kv: encodeKeyValue({ ...kv, lease: 0n }) });
    }
    this.#dangling.clear();
  }

  #push(row: Row): void {
    this.#rows.push(row);
    this.#rowBytes += row.kv.length;
    if (this.#rows.length >= BATCH_ROWS || this.#rowBytes >= BATCH_BYTES) this.#flush();
  }

  #flush(): void {
    this.#store(this.#rows, []);
    this.#rows = [];
    this.#rowBytes = 0;
  }

  #store(rows: readonly Row[], records: readonly StateRecord[]): void {
    const { appliedIndex, appliedTerm, store } = this.#options;
    store({ appliedIndex, appliedTerm, rows, records });
  }

  #lease({ key, value }: Entry): void {
    const stored = this.#decode(StoredLease, value, `a lease ${hex(key)}`);
    const { ID: id, TTL, RemainingTTL } = stored;
    if (id === 0n || this.#leases.has(id)) throw this.#options.damaged(`lease ${id} cannot be`);
    this.#leases.add(id);
    const ttlSeconds = Math.min(Math.max(1, TTL), LEASE_TTL_SECONDS_MAX);
    const lease = new Lease(id, ttlSeconds, EMPTY);
    lease.remainingSeconds = Math.min(Math.max(0, RemainingTTL), lease.ttlSeconds);
    this.#records.push(leaseRecord(lease));
  }

  /** A compaction that was scheduled and not finished is finished here. */
  #meta({ key, value }: Entry): void {
    const name = latin1(key);
    if (name !== MetaKey.finishedCompact && name !== MetaKey.scheduledCompact) return;
    const { main } = revisionOf(value, this.#options.damaged);
    if (main > 0) this.#compactRevision = Math.max(this.#compactRevision, main);
  }

  #alarm({ key }: Entry): void {
    const { memberID, alarm } = this.#decode(AlarmMember, key, "an alarm");
    const action = AlarmAction.ACTIVATE;
    new Alarms().run({ action, memberID, alarm }, this.#records);
  }

  /** Users, roles and settings are kept as etcd keeps them, byte for byte. */
  #auth(name: string, { key: bytes, value }: Entry): void {
    const { damaged } = this.#options;
    const key = latin1(bytes);
    const copy = asBuffer(value).subarray();
    if (name === Bucket.authUsers) {
      const user = this.#decode(User, value, `user ${JSON.stringify(key)}`);
      if (user.name !== key) throw damaged(`user ${JSON.stringify(key)} has another name`);
      this.#users++;
      this.#records.push({ space: AUTH_USER_SPACE, key, value: copy });
    } else if (name === Bucket.authRoles) {
      const role = this.#decode(Role, value, `role ${JSON.stringify(key)}`);
      if (role.name !== key) throw damaged(`role ${JSON.stringify(key)} has another name`);
      this.#roles++;
      this.#records.push({ space: AUTH_ROLE_SPACE, key, value: copy });
    } else {
      if (key === "authEnabled") this.#authEnabled = value.length === 1 && value[0] === 1;
      else if (key === "authRevision") counterOf(value, 0, damaged);
      // Tokens of the time after the snapshot are of auth revisions that are now given anew.
      if (key !== SIGNING_KEY) this.#records.push({ space: AUTH_SPACE, key, value: copy });
    }
  }

  /** What the current revision and the compaction point are, and noted if rows do not say it. */
  #settleRevision(): void {
    const { bumpRevision } = this.#options;
    // etcd goes on from the compaction point if that is beyond the newest row (issue 17780).
    this.#revision = Math.max(this.#revision, this.#compactRevision);
    if (bumpRevision > 0) {
      this.#revision += bumpRevision;
      this.#compactRevision = this.#revision;
    }
    const compactRevision = this.#compactRevision;
    if (compactRevision <= 0) return;
    const point = { compactRevision, revision: this.#revision, lastSeq: this.#lastSeq };
    this.#records.push(compactPointRecord(point));
  }

  #decode<T>(type: MessageType<T>, bytes: Uint8Array, what: string): T {
    try {
      return type.decode(bytes, 0, bytes.length);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw this.#options.damaged(`${what} is no ${type.typeName}: ${error.message}`, error);
    }
  }
}

/** Whether a live key can be so at its revision; members ask the same of copies of our state. */
function isVersion({ modRevision, createRevision, version }: KeyValue, main: number): boolean {
  const isCreated = createRevision >= 1 && createRevision <= main;
  return modRevision === main && isCreated && version >= 1 && Number.isSafeInteger(version);
}

function hex(bytes: Uint8Array): string {
  return asBuffer(bytes).toString("hex");
}
