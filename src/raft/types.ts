/** The nouns of Raft, in the paper's words. */
import type { Branded } from "../base/brand.ts";

/** A member's identity: 64 bits, never reused, never 0. */
export type MemberId = Branded<bigint, "MemberId">;

/** Stands where a member is expected and there is none: no vote, no leader, no transfer. */
export const NOBODY = 0n as MemberId;

/**
 * Terms and indexes stay below this; a message beyond it is dropped. It leaves the upper half of
 * the safe integers free, so that no sum of an index and a count can lose precision, and at a
 * million entries a second it lasts 142 years.
 */
export const COUNTER_MAX = 2 ** 52;

export type EntryKind = "normal" | "config" | "noop";

/** One entry of the log. `payload` is owned by the log and never changed. */
export interface Entry {
  readonly index: number;
  readonly term: number;
  readonly kind: EntryKind;
  readonly payload: Uint8Array;
}

/** What an entry costs beside its payload: index, term, kind, object and array slot. */
const ENTRY_OVERHEAD_BYTES = 64;

/** The bytes an entry counts against every limit of this room. */
export function entryBytes(entry: Entry): number {
  return entry.payload.length + ENTRY_OVERHEAD_BYTES;
}

/** What must be durable before any message of the term leaves (paper, figure 2). */
export interface HardState {
  readonly term: number;
  /** 0n: nobody. */
  readonly vote: bigint;
  readonly commit: number;
}

/** Voters of the (new) configuration, of the outgoing one while joint, and learners (§4.3). */
export interface Configuration {
  readonly voters: readonly MemberId[];
  readonly votersOutgoing: readonly MemberId[];
  readonly learners: readonly MemberId[];
  /** Voters of the outgoing configuration which become learners when the joint phase ends. */
  readonly learnersNext: readonly MemberId[];
  /** Leave the joint configuration without being asked, once it is committed. */
  readonly autoLeave: boolean;
}

/** Where a snapshot stands in the log, and the membership at that point. */
export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  readonly configuration: Configuration;
}

/** What a member is in the current term (paper figure 4; the pre-candidate is thesis §9.6). */
export type Role = "follower" | "pre-candidate" | "candidate" | "leader";

/** Who leads, as far as this member knows. `leader` is NOBODY while that is unknown. */
export interface Leadership {
  readonly role: Role;
  readonly term: number;
  readonly leader: MemberId;
}

/**
 * The durable log, read synchronously. Raft asks only for entries whose write was acknowledged
 * through written() and which it has not compacted; firstIndex and lastIndex are read once, at
 * the start.
 */
export interface LogReader {
  /** The first entry's index: snapshot.index + 1, or 1. */
  readonly firstIndex: number;
  /** firstIndex - 1 when there is no entry. */
  readonly lastIndex: number;
  term(index: number): number | undefined;
  /** Entries from ≤ index < to, in order: at least one, then no more than about bytesMax. */
  entries(from: number, to: number, bytesMax: number): readonly Entry[];
}
