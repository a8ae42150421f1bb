/**
 * The leader's side of membership: changes one after the other, each decided on a state that has
 * applied everything before it.
 *
 *   queued ─▶ read (linearizable: we still lead, and have applied what led here) ─▶ plan
 *          ─▶ proposed ─▶ applied ─▶ answered
 *                            └─ removes ourselves ─▶ retiring ─▶ lead no more ─▶ answered
 *
 * Why a leader that removes itself answers last: from when the others know that the change is
 * decided they do without it; before, they may still need its vote (raft/retire.ts). Whoever got
 * the answer may switch it off.
 */
import { assert } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import { type MemberChangePeerRequest, MemberChangePeerResponse } from "../proto/gen/aether.v1.ts";
import type { MemberId } from "../raft/types.ts";
import type { Outcome } from "../state/results.ts";
import { type ChangePolicy, type ClusterView, planChange } from "./change-plan.ts";
import type { ChangeDone, MembershipGroup } from "./ports.ts";

/** Changes that wait for their turn; more are refused. Operators make one, scripts a few. */
export const QUEUED_CHANGES_MAX = 64;

export interface LeaderOptions extends ChangePolicy {
  readonly memberId: MemberId;
  readonly electionMs: number;
  /** How long a change waits for its turn, and a retiring leader for the others. */
  readonly requestTimeoutMs: number;
}

interface Job {
  readonly request: MemberChangePeerRequest;
  readonly done: ChangeDone;
  readonly queuedMs: number;
  /** What to answer once this leader has retired. */
  onRetired: MemberChangePeerResponse | undefined;
}

export class LeaderChanges {
  readonly #options: LeaderOptions;
  readonly #group: MembershipGroup;
  readonly #clock: Clock;
  readonly #queue: Job[] = [];
  #current: Job | undefined = undefined;
  #stopped = false;
  /** When each other member was last seen to be active, while this one leads. */
  readonly #activeMs = new Map<bigint, number>();

  constructor(options: LeaderOptions, group: MembershipGroup, clock: Clock) {
    this.#options = options;
    this.#group = group;
    this.#clock = clock;
  }

  /**
   * Changes the membership; `done` gets the change's index and the member added, or an error:
   * not_leader (nothing was done), why it may not be, or that it took too long (unknown).
   */
  change(request: MemberChangePeerRequest, done: ChangeDone): void {
    if (this.#stopped) done(new AetherError("stopped"));
    else if (!this.#group.isLeader) done(new AetherError("not_leader"));
    else if (this.#queue.length >= QUEUED_CHANGES_MAX) done(new AetherError("too_many_requests"));
    else {
      const queuedMs = this.#clock.monotonicMs();
      this.#queue.push({ request, done, queuedMs, onRetired: undefined });
      this.#next();
    }
  }

  /** To be called with every tick of the group. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    if (!this.#group.isLeader) this.#activeMs.clear();
    for (const { id, active } of this.#group.progress()) if (active) this.#activeMs.set(id, nowMs);
    const job = this.#current;
    if (job?.onRetired === undefined) return;
    if (!this.#group.isLeader) this.#end(job, job.onRetired);
    else if (nowMs - job.queuedMs > this.#options.requestTimeoutMs) {
      this.#end(job, new AetherError("timeout", "removed, but too few of the others know yet"));
    }
  }

  /** Answers everything that waits with "stopped", once. */
  stop(): void {
    this.#stopped = true;
    const jobs = this.#queue.splice(0);
    if (this.#current !== undefined) jobs.unshift(this.#current);
    this.#current = undefined;
    for (const { done } of jobs) done(new AetherError("stopped"));
  }

  #next(): void {
    if (this.#current !== undefined) return;
    const job = this.#queue.shift();
    if (job === undefined) return;
    this.#current = job;
    if (this.#clock.monotonicMs() - job.queuedMs > this.#options.requestTimeoutMs) {
      this.#end(job, new AetherError("timeout", "waited too long for other changes"));
      return;
    }
    this.#group.read((error) => {
      if (this.#current !== job) return; // stopped meanwhile
      if (error !== undefined) this.#end(job, error);
      else this.#propose(job);
    });
  }

  #propose(job: Job): void {
    if (!this.#group.isLeader) {
      this.#end(job, new AetherError("not_leader"));
      return;
    }
    try {
      const wallMs = this.#clock.wallMs();
      const plan = planChange(job.request, this.#view(), this.#options, wallMs);
      const { steps, kind, body } = plan;
      this.#group.proposeChange({ steps }, kind, body, (outcome) => this.#decided(job, outcome));
    } catch (error) {
      if (!(error instanceof AetherError)) throw error;
      this.#end(job, error);
    }
  }

  #decided(job: Job, outcome: Outcome): void {
    if (this.#current !== job) return; // stopped meanwhile
    if (outcome instanceof AetherError) {
      this.#end(job, outcome);
      return;
    }
    assert(outcome.kind === "member", "a change of the membership comes to a member");
    const member = job.request.add === undefined ? undefined : outcome.member;
    // At or after the change's own index: whoever has applied this has applied the change.
    const index = this.#group.committedIndex;
    this.#group.whenApplied(index, () => {
      if (this.#current !== job) return; // stopped meanwhile
      const answer = MemberChangePeerResponse.create({ index, member });
      if (job.request.remove?.ID === this.#options.memberId) job.onRetired = answer;
      else this.#end(job, answer);
    });
  }

  #end(job: Job, answer: MemberChangePeerResponse | AetherError): void {
    assert(this.#current === job, "changes end one after the other");
    this.#current = undefined;
    job.done(answer);
    this.#next();
  }

  #view(): ClusterView {
    const { machine: records, committedIndex } = this.#group;
    const { memberId, electionMs } = this.#options;
    const peers = this.#group.progress();
    // Raft forgets who was heard of with each check of the quorum, once an election timeout.
    const sinceMs = this.#clock.monotonicMs() - electionMs;
    const isActive = (id: bigint): boolean =>
      id === memberId ||
      peers.some((peer) => peer.id === id && peer.active) ||
      (this.#activeMs.get(id) ?? Number.NEGATIVE_INFINITY) >= sinceMs;
    const match = (id: bigint): number | undefined => peers.find((peer) => peer.id === id)?.match;
    return { records, committedIndex, isActive, match };
  }
}
