/**
 * A state as etcd would have it in its database: what Maintenance.Snapshot sends. Everything is
 * read in one transaction, so it is the state after one index, whatever is written meanwhile; it
 * runs in a Worker (export-worker) and takes one pass over the rows.
 *
 * The history is all that etcd would have kept, in order: what compaction has not come to yet is
 * left out, since etcd's is told that it has ended.
 */
import type { Database } from "bun:sqlite";
import { ByteWriter } from "../../base/bytes.ts";
import { AlarmMember, Member } from "../../proto/gen/etcdserverpb.ts";
import { Lease } from "../../proto/gen/leasepb.ts";
import { StoredKeyValue } from "../../proto/hot/key-value.ts";
import { ALARM_SPACE } from "../../state/alarms.ts";
import {
  AUTH_ROLE_SPACE,
  AUTH_SPACE,
  AUTH_USER_SPACE,
  SIGNING_KEY,
} from "../../state/auth/auth-records.ts";
import { ClusterVersion, VERSION_SPACE } from "../../state/cluster-version.ts";
import { LEASE_SPACE, timesIn } from "../../state/leases.ts";
import { GONE_SPACE, MEMBER_SPACE } from "../../state/members.ts";
import { COMPACT_KEY, type CompactPoint, compactPointOf, META_SPACE } from "../../state/restore.ts";
import { type BucketWriter, writeBbolt } from "../bbolt/writer.ts";
import { StateReader } from "../state-reader.ts";
import { type Applied, readApplied } from "../state-schema.ts";
import type { Damaged } from "../storage-error.ts";
import { confStateJson, memberJson, memberKey } from "./members-json.ts";
import { Bucket, ClusterKey, counterBytes, MetaKey, revisionKey } from "./schema.ts";
import { type IsSuperseded, supersededAt } from "./superseded.ts";

export interface Exported {
  /** Of the file. */
  readonly bytes: number;
  readonly appliedIndex: number;
  readonly revision: number;
  /** The storage version: the cluster's, so that a downgrade ends in files that etcd takes. */
  readonly version: string;
}

export interface ExportOptions {
  readonly group: number;
  readonly damaged: Damaged;
  /** Called now and then; what it throws ends the export. */
  readonly onProgress: () => void;
}

/** Rows between two calls of onProgress. */
const PROGRESS_ROWS = 1000;

const EMPTY = new Uint8Array(0);

/** Text of ASCII, as names and keys of etcd's are. */
function bytes(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/**
 * Writes the state that `db` shows to the open file `file`; `db` is in a read transaction of the
 * caller's. Throws AetherError "corrupt" for damage in the state, or what the system does.
 */
export function exportState(db: Database, file: number, options: ExportOptions): Exported {
  const { group, damaged } = options;
  const applied = readApplied(db, group, damaged);
  const state = new StateExport(db, applied, options);
  const size = writeBbolt(file, (root) => state.write(root));
  return {
    bytes: size,
    appliedIndex: applied.index,
    revision: state.revision,
    version: state.version,
  };
}

class StateExport {
  /** Of the newest row, and in the end the current one. */
  revision = 1;
  readonly #reader: StateReader;
  readonly #applied: Applied;
  readonly #onProgress: () => void;
  readonly #members: readonly Member[];
  readonly #point: CompactPoint;
  readonly #isSuperseded: IsSuperseded;
  readonly #cluster = new ClusterVersion();

  constructor(db: Database, applied: Applied, { group, damaged, onProgress }: ExportOptions) {
    this.#reader = new StateReader(db, damaged);
    this.#applied = applied;
    this.#onProgress = onProgress;
    this.#members = this.#values(MEMBER_SPACE, (value) => Member.decode(value, 0, value.length));
    this.#point = this.#readPoint();
    this.#isSuperseded = supersededAt(db, group, this.#point.compactRevision, damaged);
    for (const { space, key, value } of this.#reader.recordsIn(VERSION_SPACE)) {
      this.#cluster.restore(space, key, value);
    }
  }

  get version(): string {
    return this.#cluster.version;
  }

  /** In order of the buckets' names. */
  write(root: BucketWriter): void {
    const copy = (name: string, space: string): void =>
      root.bucket(bytes(name), (bucket) => this.#copy(bucket, space));
    root.bucket(bytes(Bucket.alarm), (bucket) => this.#alarms(bucket));
    copy(Bucket.auth, AUTH_SPACE);
    copy(Bucket.authRoles, AUTH_ROLE_SPACE);
    copy(Bucket.authUsers, AUTH_USER_SPACE);
    root.bucket(bytes(Bucket.cluster), (bucket) => this.#versions(bucket));
    root.bucket(bytes(Bucket.key), (bucket) => this.#history(bucket));
    root.bucket(bytes(Bucket.lease), (bucket) => this.#leases(bucket));
    root.bucket(bytes(Bucket.members), (bucket) => this.#memberList(bucket));
    root.bucket(bytes(Bucket.membersRemoved), (bucket) => this.#removed(bucket));
    root.bucket(bytes(Bucket.meta), (bucket) => this.#meta(bucket));
  }

  #readPoint(): CompactPoint {
    for (const { key, value } of this.#reader.recordsIn(META_SPACE)) {
      if (key === COMPACT_KEY) return compactPointOf(value);
    }
    return { compactRevision: -1, revision: 1, lastSeq: 0 };
  }

  #values<T>(space: string, read: (value: Uint8Array) => T): T[] {
    return [...this.#reader.recordsIn(space)].map(({ value }) => read(value));
  }

  /** Who reads a backup must not be able to sign tokens; a restored state draws its own key. */
  #copy(bucket: BucketWriter, space: string): void {
    for (const { key, value } of this.#reader.recordsIn(space)) {
      if (space !== AUTH_SPACE || key !== SIGNING_KEY) bucket.put(bytes(key), value);
    }
  }

  #alarms(bucket: BucketWriter): void {
    const keys: Buffer[] = [];
    for (const { key } of this.#reader.recordsIn(ALARM_SPACE)) {
      const id = bytes(key);
      const out = new ByteWriter(16);
      AlarmMember.encode({ memberID: id.readBigUInt64BE(0), alarm: id.readInt32BE(8) }, out);
      keys.push(Buffer.from(out.copy()));
    }
    for (const key of keys.sort(Buffer.compare)) bucket.put(key, EMPTY);
  }

  #versions(bucket: BucketWriter): void {
    const target = this.#cluster.downgradeTarget;
    const downgrade = { "target-version": target ?? "", enabled: target !== undefined };
    bucket.put(bytes(ClusterKey.version), bytes(this.version));
    bucket.put(bytes(ClusterKey.downgrade), bytes(JSON.stringify(downgrade)));
  }

  #history(bucket: BucketWriter): void {
    const reader = new StoredKeyValue();
    let count = 0;
    for (const { seq, revision, sub, tombstone, kv } of this.#reader.rows()) {
      if (++count % PROGRESS_ROWS === 0) this.#onProgress();
      this.revision = revision;
      if (this.#isSuperseded(seq)) continue;
      const value = tombstone ? kv.subarray(0, reader.read(kv).keyEnd) : kv;
      bucket.put(revisionKey(revision, sub, tombstone), value);
    }
    if (this.#point.revision <= this.revision) return;
    // Beyond the newest row: how `snapshot restore --bump-revision` notes it.
    this.revision = this.#point.revision;
    bucket.put(revisionKey(this.revision, 0, false), EMPTY);
  }

  #leases(bucket: BucketWriter): void {
    for (const { key, value } of this.#reader.recordsIn(LEASE_SPACE)) {
      const out = new ByteWriter(24);
      const id = bytes(key);
      const { ttlSeconds: TTL, remainingSeconds: RemainingTTL } = timesIn(value);
      Lease.encode({ ID: id.readBigInt64BE(0), TTL, RemainingTTL }, out);
      bucket.put(id, out.copy());
    }
  }

  #memberList(bucket: BucketWriter): void {
    const members = this.#members.map((member): [string, string] => {
      return [memberKey(member.ID), memberJson(member)];
    });
    for (const [key, json] of members.sort(byKey)) bucket.put(bytes(key), Buffer.from(json));
  }

  #removed(bucket: BucketWriter): void {
    const keys: string[] = [];
    for (const { key } of this.#reader.recordsIn(GONE_SPACE)) {
      keys.push(memberKey(bytes(key).readBigUInt64BE(0)));
    }
    for (const key of keys.sort()) bucket.put(bytes(key), bytes("removed"));
  }

  #meta(bucket: BucketWriter): void {
    const { index, term } = this.#applied;
    const { compactRevision } = this.#point;
    bucket.put(bytes(MetaKey.confState), bytes(confStateJson(this.#members)));
    bucket.put(bytes(MetaKey.consistentIndex), counterBytes(index));
    if (compactRevision > 0) {
      const point = revisionKey(compactRevision, 0, false);
      bucket.put(bytes(MetaKey.finishedCompact), point);
      bucket.put(bytes(MetaKey.scheduledCompact), point);
    }
    bucket.put(bytes(MetaKey.storageVersion), bytes(this.version));
    bucket.put(bytes(MetaKey.term), counterBytes(term));
  }
}

function byKey(a: [string, string], b: [string, string]): number {
  return a[0] < b[0] ? -1 : 1;
}
