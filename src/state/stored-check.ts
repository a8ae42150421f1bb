/**
 * Whether a state that another member sent is one that a machine can be restored from, and go on
 * with. Checksums say that its bytes are the sender's; a sender that is broken, or not ours any
 * more, makes them for nonsense as well, and what the machine asserts of its own rows would end the
 * process, at every start again. So this is asked before anything is installed.
 *
 *   record() × all ─▶ row() × all, in order of seq ─▶ end()
 *
 * The small records are restored for good, into parts of a machine that nobody uses, and what
 * those assert is taken for an answer. Rows are many: of them nothing is kept but ChainCheck's
 * newest, and those whose lease has ended and that nothing has followed yet (some 40 bytes each, at
 * most one a key, of which a machine keeps 267).
 */
import { AssertionError } from "../base/assert.ts";
import { type Key, latin1 } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { DecodeError } from "../proto/decode-error.ts";
import { StoredKeyValue } from "../proto/hot/key-value.ts";
import { ALARM_SPACE } from "./alarms.ts";
import { ChainCheck } from "./chain-check.ts";
import { ClusterRecords } from "./cluster-records.ts";
import { DEPTH_MAX } from "./key-entry.ts";
import { LEASE_SPACE, Leases, restoreLease } from "./leases.ts";
import { MEMBER_SPACE } from "./members.ts";
import type { Row } from "./ports.ts";
import { COMPACT_KEY, type CompactPoint, compactPointOf, META_SPACE } from "./restore.ts";
import { encodeLeaseField } from "./stored-form.ts";
import { verifyCluster } from "./verify.ts";

/** Raft's bound for terms and indexes holds for revisions and seqs, too (raft/types.ts). */
const COUNTER_MAX = 2 ** 52;

/** Members, and alarms: far more than can be, and few enough to be put in order one by one. */
const LISTED_MAX = 1000;

/** A tag and a 64-bit number. */
const LEASE_FIELD_BYTES_MAX = 11;

export interface StoredCheckParts {
  /** Makes the error for what cannot be. */
  readonly refuse: (what: string, cause?: unknown) => AetherError;
  /** A row by its seq; undefined if there is none. */
  readonly read: (seq: number) => Row | undefined;
  /** 64 bits drawn by chance. */
  readonly secret: bigint;
}

export class StoredCheck {
  readonly #refuse: StoredCheckParts["refuse"];
  readonly #chains: ChainCheck;
  readonly #reader = new StoredKeyValue();
  readonly #leases = new Leases();
  readonly #cluster = new ClusterRecords();
  /** The lease fields of key values, as they stand there. */
  readonly #leaseFields = new Set<string>();
  readonly #listed = { [MEMBER_SPACE]: 0, [ALARM_SPACE]: 0 };
  #point: CompactPoint = { compactRevision: 0, revision: 1, lastSeq: 0 };
  /** Of the row before. */
  #seq = 0;
  #revision = 0;
  #sub = 0;
  /** Rows whose lease is not there, while they are their keys' newest. */
  readonly #dangling = new Set<number>();

  constructor({ refuse, read, secret }: StoredCheckParts) {
    this.#refuse = refuse;
    this.#chains = new ChainCheck({ read, secret, keyOf });
  }

  /** The newest revision and seq so far, of rows and records. */
  get newest(): { readonly revision: number; readonly seq: number } {
    const { revision, lastSeq } = this.#point;
    return { revision: Math.max(revision, this.#revision), seq: Math.max(lastSeq, this.#seq) };
  }

  /** Takes a record. Throws what `refuse` makes if it cannot be. */
  record(space: string, key: Key, value: Uint8Array): void {
    if (space === MEMBER_SPACE || space === ALARM_SPACE) {
      this.#listed[space]++;
      if (this.#listed[space] > LISTED_MAX) throw this.#refuse(`too many records of ${space}`);
    }
    this.#judge(`a record of ${space} cannot be`, () => {
      if (space === LEASE_SPACE) this.#lease(key, value);
      else if (space === META_SPACE && key === COMPACT_KEY) this.#compact(value);
      else this.#cluster.restore(space, key, value);
    });
  }

  /** Takes the next row, once all records are taken. Throws what `refuse` makes. */
  row(row: Row): void {
    const fault = this.#faultOfPlace(row) ?? this.#faultOfContent(row);
    if (fault !== undefined) throw this.#refuse(`row ${row.seq}: ${fault}`);
    this.#seq = row.seq;
    this.#revision = row.revision;
    this.#sub = row.sub;
  }

  /** All were taken. Throws what `refuse` makes. */
  end(): void {
    const [seq] = this.#dangling;
    if (seq !== undefined) {
      throw this.#refuse(`row ${seq}: its key is there, and names a lease that is not`);
    }
    this.#judge("its records cannot be together", () => {
      verifyCluster(this.#cluster);
      if (!isCounter(this.#cluster.auth.revision)) throw this.#refuse("no such auth revision");
    });
  }

  #lease(key: Key, value: Uint8Array): void {
    restoreLease(this.#leases, key, value);
    const id = Buffer.from(key, "latin1").readBigInt64BE(0);
    this.#leaseFields.add(latin1(encodeLeaseField(id)));
  }

  #compact(value: Uint8Array): void {
    const point = compactPointOf(value);
    const { compactRevision, revision, lastSeq } = point;
    const areCounters = isCounter(compactRevision) && isCounter(revision) && isCounter(lastSeq);
    if (!areCounters || compactRevision > revision) {
      throw this.#refuse(`no compaction to ${compactRevision} at ${revision}, row ${lastSeq}`);
    }
    this.#point = point;
  }

  /** What is asserted here is about another member's bytes, not about what we did. */
  #judge(what: string, restore: () => void): void {
    try {
      restore();
    } catch (error) {
      if (error instanceof AetherError && error.code === "corrupt") throw error;
      if (!isJudgement(error)) throw error;
      throw this.#refuse(`${what}: ${error.message}`, error);
    }
  }

  /** What is wrong with the numbers of a row; undefined if nothing is. */
  #faultOfPlace({ seq, revision, sub, prev, jump, depth }: Row): string | undefined {
    if (!isCounter(seq) || seq <= this.#seq) return `it stands after row ${this.#seq}`;
    if (!isCounter(revision) || revision < 1) return `there is no revision ${revision}`;
    if (!isCounter(sub) || sub >= 2 ** 32) return `there is no change ${sub} of a revision`;
    if (revision < this.#revision) return `revision ${revision} follows ${this.#revision}`;
    if (revision === this.#revision && sub <= this.#sub) {
      return `change ${sub} of revision ${revision} follows change ${this.#sub}`;
    }
    const { lastSeq } = this.#point;
    if (seq <= lastSeq !== revision <= this.#point.revision) {
      return `revision ${revision}, where row ${lastSeq} ended revision ${this.#point.revision}`;
    }
    const isBehind = isCounter(prev) && isCounter(jump) && prev < seq && jump <= prev;
    const isDepth = isCounter(depth) && depth >= 1 && depth <= DEPTH_MAX;
    if (!isBehind || !isDepth || (prev === 0 && depth !== 1)) {
      return `it cannot follow row ${prev} at depth ${depth}, or jump to ${jump}`;
    }
    return undefined;
  }

  /** What is wrong with its bytes, and with what they name. */
  #faultOfContent(row: Row): string | undefined {
    const { seq, revision, prev, tombstone, kv } = row;
    const read = this.#reader;
    if (!read.accepts(kv) || read.keyStart === read.keyEnd) return "it holds no key and value";
    const { createRevision: created, version } = read;
    if (read.modRevision !== revision) return `it tells of revision ${read.modRevision}`;
    const isRight = tombstone
      ? created === 0 && version === 0 && read.headEnd === kv.length
      : created >= 1 && created <= revision && version >= 1 && isCounter(version);
    if (!isRight) return `it cannot be version ${version} since revision ${created}`;
    if (!this.#chains.accepts(row, read.key())) return "what stands before it is another key's";
    if (this.#dangling.size > 0) this.#dangling.delete(prev);
    return read.hasLease() ? this.#faultOfLease(seq) : undefined;
  }

  #faultOfLease(seq: number): string | undefined {
    const { bytes, valueEnd } = this.#reader;
    if (bytes.length - valueEnd > LEASE_FIELD_BYTES_MAX) return "it names no lease";
    const field = latin1(bytes, valueEnd);
    if (this.#leaseFields.has(field)) return undefined;
    const isField = latin1(encodeLeaseField(this.#reader.lease())) === field;
    if (!isField) return "it names no lease";
    this.#dangling.add(seq);
    return undefined;
  }
}

/** Of a row that was accepted. */
function keyOf(kv: Uint8Array): Key {
  return new StoredKeyValue().read(kv).key();
}

function isCounter(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value < COUNTER_MAX;
}

/** RangeError: a record shorter than the numbers in it. */
function isJudgement(error: unknown): error is Error {
  const isOurs = error instanceof AssertionError || error instanceof DecodeError;
  return isOurs || error instanceof RangeError;
}
