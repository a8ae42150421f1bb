/** The nouns of Raft, in the paper's words. */
import type { Branded } from "../base/brand.ts";

/** A member's identity: 64 bits, never reused, never 0. */
export type MemberId = Branded<bigint, "MemberId">;

export type EntryKind = "normal" | "config" | "noop";

/** One entry of the log. `payload` is owned by the log and never changed. */
export interface Entry {
  readonly index: number;
  readonly term: number;
  readonly kind: EntryKind;
  readonly payload: Uint8Array;
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
