/**
 * The members of the active configuration as this member sees them: a Progress for each, the
 * votes of an election, and the quorums over both.
 *
 * Invariants, checked by verify(): T1  there is a Progress exactly for the members of the
 * configuration   T2  isLearner says whether it is in neither half of the voters
 */
import { assert } from "../../base/assert.ts";
import { isMember, isVoter, membersOf } from "../membership/configuration.ts";
import { jointValue, jointVote } from "../quorum/joint.ts";
import { majorityValue, majorityVote, type VoteResult } from "../quorum/majority.ts";
import type { Configuration, MemberId } from "../types.ts";
import { Progress } from "./progress.ts";

/** What a quorum is asked about: a number each voter has reached. */
type Reached = "match" | "round" | "knownCommit";

export class Tracker {
  readonly #self: MemberId;
  readonly #limits: { countMax: number; bytesMax: number };
  readonly #progress = new Map<MemberId, Progress>();
  readonly #votes = new Map<MemberId, boolean>();
  readonly #scratch: number[] = [];
  #configuration: Configuration;
  #incoming: Progress[] = [];
  #outgoing: Progress[] = [];
  /** Everyone but ourselves, learners too. */
  peers: readonly Progress[] = [];
  /** Ourselves, if we are a member. */
  self: Progress | undefined;

  constructor(
    self: MemberId,
    limits: { countMax: number; bytesMax: number },
    start: { configuration: Configuration; next: number },
  ) {
    this.#self = self;
    this.#limits = limits;
    this.#configuration = start.configuration;
    this.reconfigure(start.configuration, start.next);
  }

  get configuration(): Configuration {
    return this.#configuration;
  }

  get(id: MemberId): Progress | undefined {
    return this.#progress.get(id);
  }

  /**
   * Takes a configuration over. Newcomers start at `next` and count as active, so that the check
   * of the quorum does not depose a leader before it could speak to them.
   */
  reconfigure(configuration: Configuration, next: number): void {
    this.#configuration = configuration;
    const members = membersOf(configuration);
    for (const id of [...this.#progress.keys()]) {
      if (!isMember(configuration, id)) this.#progress.delete(id);
    }
    for (const id of members) {
      let progress = this.#progress.get(id);
      if (progress === undefined) {
        progress = new Progress(id, next, this.#limits);
        progress.recentActive = true;
        this.#progress.set(id, progress);
      }
      progress.isLearner = !isVoter(configuration, id);
    }
    const of = (id: MemberId): Progress => this.#progress.get(id) as Progress;
    this.#incoming = configuration.voters.map(of);
    this.#outgoing = configuration.votersOutgoing.map(of);
    this.peers = members.filter((id) => id !== this.#self).map(of);
    this.self = this.#progress.get(this.#self);
  }

  /** A new term: forgets what was known of everyone. */
  reset(next: number): void {
    for (const progress of this.#progress.values()) progress.reset(next);
    this.#votes.clear();
  }

  /** Whether we alone are the quorum. */
  get isAlone(): boolean {
    return (
      this.#incoming.length === 1 && this.#outgoing.length === 0 && this.#incoming[0] === this.self
    );
  }

  /** The highest index durable at a quorum. */
  quorumMatch(): number {
    return jointValue(
      this.#reached(this.#incoming, "match"),
      this.#reached(this.#outgoing, "match"),
    );
  }

  /** The newest read round answered by a quorum. */
  quorumRound(): number {
    return jointValue(
      this.#reached(this.#incoming, "round"),
      this.#reached(this.#outgoing, "round"),
    );
  }

  /** The highest commit index that a quorum has on disk. */
  quorumKnownCommit(): number {
    return jointValue(
      this.#reached(this.#incoming, "knownCommit"),
      this.#reached(this.#outgoing, "knownCommit"),
    );
  }

  /** Whether a quorum, ourselves included, has been heard since the last check. */
  quorumActive(): boolean {
    return jointVote(this.#active(this.#incoming), this.#active(this.#outgoing)) === "won";
  }

  /** Starts the next interval of the check of the quorum. */
  forgetActivity(): void {
    for (const peer of this.peers) peer.recentActive = false;
  }

  clearVotes(): void {
    this.#votes.clear();
  }

  /** Counts a vote; only the first of each member counts. */
  recordVote(id: MemberId, granted: boolean): void {
    if (!this.#votes.has(id)) this.#votes.set(id, granted);
  }

  voteResult(): VoteResult {
    return jointVote(this.#tally(this.#incoming), this.#tally(this.#outgoing));
  }

  verify(): void {
    const members = membersOf(this.#configuration);
    assert(members.length === this.#progress.size, "T1: a Progress for each member");
    for (const id of members) {
      const progress = this.#progress.get(id);
      assert(progress !== undefined, "T1: a member without Progress");
      assert(progress.isLearner === !isVoter(this.#configuration, id), "T2: isLearner");
      progress.verify();
    }
  }

  #reached(half: readonly Progress[], what: Reached): number {
    const values = this.#scratch;
    for (let i = 0; i < half.length; i++) values[i] = (half[i] as Progress)[what];
    return majorityValue(values, half.length);
  }

  #active(half: readonly Progress[]): VoteResult {
    let yes = 0;
    for (const progress of half) {
      if (progress.id === this.#self || progress.recentActive) yes++;
    }
    return majorityVote(half.length, yes, half.length - yes);
  }

  #tally(half: readonly Progress[]): VoteResult {
    let yes = 0;
    let no = 0;
    for (const progress of half) {
      const vote = this.#votes.get(progress.id);
      if (vote === true) yes++;
      else if (vote === false) no++;
    }
    return majorityVote(half.length, yes, no);
  }
}
