/**
 * What callers wait for: proposals and linearizable reads, from the moment they are asked until
 * they are answered, through as many leaders as it takes. Raft and the other members are only
 * spoken to; what they hand out comes back through the methods at the end.
 */
import { asBuffer } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import { type Turn, TurnPhase } from "../base/turn.ts";
import type { ChangeStep } from "../raft/membership/change.ts";
import type { Raft } from "../raft/raft.ts";
import type { Ready } from "../raft/ready.ts";
import { type MemberId, NOBODY } from "../raft/types.ts";
import type { Caller } from "../state/auth/caller.ts";
import { CommandKind, isSoundBatch } from "../state/command.ts";
import type { Outcome } from "../state/results.ts";
import { CallLimit } from "./call-limit.ts";
import type { Transport } from "./ports.ts";
import { type Done, Proposals, type SentBatch } from "./proposals.ts";
import { type ReadDone, Reads } from "./reads.ts";

/** What ends leases may go so much beyond the bounds: it makes room (as in etcd 3.7). */
const URGENT_SHARE = 1.1;

/** What waits for consensus, and how much of that is good for anybody. */
export interface CallLoad {
  /** Calls that wait to be applied, or to read; one that carries much counts as several. */
  readonly waiting: number;
  /** With more of them a new one should be refused: answers come late already. */
  readonly limit: number;
  /** Rounds of linearizable reads that had to wait for a leader, and rounds that failed. */
  readonly readRounds: { readonly slow: number; readonly failed: number };
}

export interface RequestsParts {
  readonly raft: Raft;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly turn: Turn;
  /** Random over restarts. */
  readonly firstSequence: number;
  /** False: proposals fail with not_leader unless this member leads. */
  readonly forward: boolean;
  readonly timeoutMs: number;
  /** How long a call waits while nobody leads. */
  readonly leaderWaitMs: number;
  /** The state store is behind, by so much of its bound. */
  readonly isStoreFull: (share: number) => boolean;
  /** The applied index of the machine. */
  readonly appliedIndex: () => number;
  /** Performs what Raft asks for, now. */
  readonly drive: () => void;
}

export class Requests implements CallLoad {
  readonly #parts: RequestsParts;
  readonly #proposals: Proposals<Outcome>;
  readonly #reads = new Reads();
  readonly #limit = new CallLimit();
  #refused = 0;
  #stopped = false;
  #leaderLostMs = Number.NEGATIVE_INFINITY;
  readonly #runPropose = (): void => this.#propose();
  readonly #runRead = (): void => this.#issueReads();

  constructor(parts: RequestsParts) {
    this.#parts = parts;
    this.#proposals = new Proposals<Outcome>(parts.raft.id, parts.firstSequence);
  }

  /** Batches that wait for consensus, and calls of the turn. */
  get pending(): number {
    return this.#proposals.sentCount + this.#proposals.filling;
  }

  get waiting(): number {
    return this.#proposals.load + this.#reads.waiting;
  }

  get limit(): number {
    return this.#limit.calls;
  }

  /** Calls that were refused, or whose outcome is unknown. */
  get failed(): number {
    return this.#refused + this.#proposals.failedCount;
  }

  /** Rounds of reads that had to wait for a leader, and rounds that failed. */
  get readRounds(): { readonly slow: number; readonly failed: number } {
    return { slow: this.#reads.slowCount, failed: this.#reads.failedCount };
  }

  propose(
    kind: CommandKind,
    bytes: Uint8Array,
    start: number,
    end: number,
    done: Done<Outcome>,
    caller?: Caller,
  ): void {
    const refusal = this.#refusal(isUrgent(kind) ? URGENT_SHARE : 1);
    if (refusal !== undefined) {
      this.#refused++;
      done(refusal);
      return;
    }
    const { turn } = this.#parts;
    if (this.#proposals.filling === 0) turn.after(TurnPhase.PROPOSE, this.#runPropose);
    if (this.#proposals.add(kind, bytes, start, end, done, caller)) this.#propose();
  }

  proposeChange(
    steps: readonly ChangeStep[],
    kind: CommandKind,
    body: Uint8Array,
    done: Done<Outcome>,
  ): void {
    const refusal = this.#refusal(1);
    if (refusal !== undefined) {
      this.#refused++;
      done(refusal);
      return;
    }
    this.#propose(); // what was asked before is appended before
    const { raft, clock, drive } = this.#parts;
    const batch = this.#proposals.change(kind, body, clock.monotonicMs(), done);
    const change = { transition: "auto", steps, context: batch.payload } as const;
    try {
      batch.term = raft.proposeConfiguration(change).term;
    } catch (error) {
      this.#proposals.refuse(batch, expected(error));
    }
    drive();
  }

  read(done: ReadDone): void {
    if (this.#stopped) {
      done(new AetherError("stopped"));
      return;
    }
    const { raft, clock, turn, appliedIndex } = this.#parts;
    const index = raft.readNow(clock.monotonicMs());
    if (index >= 0 && index <= appliedIndex()) done(undefined);
    else if (this.#reads.full) done(tooMany("too many reads wait"));
    else if (this.#reads.ask(done)) turn.after(TurnPhase.READ, this.#runRead);
  }

  /** A follower's batch; `refuse` is called at once if it is not taken, and only then. */
  receiveProposal(
    term: number,
    payload: Uint8Array,
    refuse: (error: AetherError, leader: MemberId) => void,
  ): void {
    const { raft } = this.#parts;
    const refusal = this.#refusal(1);
    if (refusal !== undefined) refuse(refusal, raft.leader);
    else if (raft.role !== "leader" || raft.term !== term) {
      refuse(new AetherError("not_leader"), raft.leader);
    } else if (!isSoundBatch(asBuffer(payload))) {
      refuse(new AetherError("invalid_argument", "no batch of this program's"), raft.leader);
    } else {
      try {
        raft.propose(payload);
      } catch (error) {
        refuse(expected(error), raft.leader);
      }
    }
  }

  /** A leader did not take the batch `sequence` of ours. */
  proposalRefused(sequence: number, error: AetherError): void {
    const batch = this.#proposals.find(sequence);
    if (batch === undefined || batch.isChange) return; // timed out, or of an earlier attempt
    if (isPassing(error)) this.#proposals.again(batch);
    else this.#proposals.refuse(batch, error);
  }

  /** The batch whose commands are about to be applied, if its callers wait here. */
  applied(payload: Buffer): SentBatch<Outcome> | undefined {
    const batch = this.#proposals.applied(payload);
    if (batch === undefined) return undefined;
    const nowMs = this.#parts.clock.monotonicMs();
    this.#limit.answered(nowMs - batch.sentMs, nowMs);
    return batch;
  }

  /** An entry of `term` was applied: what an earlier leader had is applied by now, or never. */
  termPassed(term: number): void {
    for (const batch of this.#proposals.placedBefore(term)) {
      if (this.#proposals.find(batch.sequence) !== batch) continue; // an answer ended it
      if (batch.isChange) this.#proposals.refuse(batch, new AetherError("leader_changed"));
      else this.#place(this.#proposals.again(batch));
    }
  }

  /** A snapshot stands for entries that were not seen: what they held of ours is not known. */
  termSkipped(term: number): void {
    for (const batch of this.#proposals.placedBefore(term + 1)) {
      this.#proposals.refuse(batch, new AetherError("timeout_leader_failure"));
    }
  }

  /** Everything up to `index` is applied. */
  ran(index: number): void {
    this.#reads.applied(index);
  }

  /** What Raft says of reads. */
  decided({ reads, refusedReads }: Ready): void {
    const applied = this.#parts.appliedIndex();
    for (const { id, index } of reads) this.#reads.granted(id, index, applied);
    for (const { id } of refusedReads) this.#reads.postponed(id);
  }

  /** Another leader, or none. */
  leaderChanged(): void {
    const { raft, clock } = this.#parts;
    if (raft.leader === NOBODY) this.#leaderLostMs = clock.monotonicMs();
    else this.#tryAgain();
  }

  /** Tries again what has no leader, and fails what has waited for too long. */
  tick(): void {
    const { timeoutMs, leaderWaitMs, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    this.#tryAgain();
    this.#proposals.expire(nowMs - leaderWaitMs, (batch) => {
      if (batch.term === 0) return new AetherError("no_leader");
      return batch.sentMs <= nowMs - timeoutMs ? this.#timeout(nowMs) : undefined;
    });
    this.#reads.expirePostponed(nowMs - leaderWaitMs, () => new AetherError("no_leader"));
    this.#reads.expire(nowMs - timeoutMs, () => this.#timeout(nowMs));
  }

  stop(): void {
    this.#stopped = true;
    this.#proposals.failAll(() => new AetherError("stopped"));
    this.#reads.failAll(() => new AetherError("stopped"));
  }

  /** Why nothing may be proposed now, if so; so much of the bounds may be used. */
  #refusal(share: number): AetherError | undefined {
    if (this.#stopped) return new AetherError("stopped");
    if (this.#proposals.isFull(share)) return tooMany("too much is proposed");
    return this.#parts.isStoreFull(share) ? tooMany("the state store is behind") : undefined;
  }

  #timeout(nowMs: number): AetherError {
    const recent = nowMs - this.#leaderLostMs < this.#parts.timeoutMs;
    return new AetherError(recent ? "timeout_leader_failure" : "timeout");
  }

  /** PROPOSE: the commands of the turn become one entry. */
  #propose(): void {
    const batch = this.#proposals.take(this.#parts.clock.monotonicMs());
    if (batch === undefined) return; // it was full and left before the end of the turn
    this.#place(batch);
    this.#parts.drive();
  }

  /** Gives a batch to the leader, or keeps it until there is one. */
  #place(batch: SentBatch<Outcome>): void {
    const { raft, transport, forward } = this.#parts;
    if (raft.role === "leader") this.#placeHere(batch);
    else if (!forward) this.#proposals.refuse(batch, new AetherError("not_leader"));
    else if (raft.leader !== NOBODY && transport.propose(raft.leader, raft.term, batch.payload)) {
      batch.term = raft.term;
    }
  }

  #placeHere(batch: SentBatch<Outcome>): void {
    try {
      batch.term = this.#parts.raft.propose(batch.payload).term;
    } catch (error) {
      const failure = expected(error);
      if (!isPassing(failure)) this.#proposals.refuse(batch, failure);
    }
  }

  /** READ: one read index for all reads of the turn. */
  #issueReads(): void {
    const id = this.#reads.issue(this.#parts.clock.monotonicMs());
    if (id === undefined) return;
    this.#askRaft(id);
    this.#parts.drive();
  }

  #askRaft(id: number): void {
    try {
      this.#parts.raft.readIndex(id);
    } catch (error) {
      const failure = expected(error);
      if (isPassing(failure)) this.#reads.postponed(id);
      else this.#reads.refused(id, failure);
    }
  }

  /** Somebody leads, or may: places what is in nobody's hands. */
  #tryAgain(): void {
    if (this.#parts.raft.leader === NOBODY) return;
    for (const batch of this.#proposals.unplaced()) {
      const isStill = batch.term === 0 && this.#proposals.find(batch.sequence) === batch;
      if (isStill) this.#place(batch); // unless an answer of another one ended or placed it
    }
    for (const id of this.#reads.reissue()) this.#askRaft(id);
  }
}

function tooMany(what: string): AetherError {
  return new AetherError("too_many_requests", what);
}

function isUrgent(kind: CommandKind): boolean {
  return kind === CommandKind.leaseRevoke || kind === CommandKind.leaseExpire;
}

/** Another attempt may go better: there is no leader, or it is about to change. */
function isPassing({ code }: AetherError): boolean {
  return (
    code === "no_leader" || code === "not_leader" || code === "leader_changed" || code === "stopped"
  );
}

/** An expected failure; anything else is thrown on. */
function expected(error: unknown): AetherError {
  if (error instanceof AetherError) return error;
  throw error;
}
