/** Who leads, and how leadership comes and goes at the wish of its driver. */
import { AetherError } from "../base/errors.ts";
import type { Random } from "../base/ports.ts";
import type { Raft } from "../raft/raft.ts";
import { type MemberId, NOBODY } from "../raft/types.ts";

/**
 * Campaigns of a member that was just started and hears no leader, before its patience counts: a
 * cluster that starts as a whole need not wait an election timeout. They ask before they raise
 * the term (thesis §9.6), so they disturb no leader that others hear.
 */
const EARLY_CAMPAIGNS = 4;

/** Election timeouts that an heir may take: one to be told, one to win. */
const HAND_OVER_ELECTIONS = 2;

/** What the leader knows of another member. */
export interface PeerProgress {
  readonly id: MemberId;
  /** Up to here its log is durable and equal to ours. */
  readonly match: number;
  readonly isLearner: boolean;
  /** It was heard from within the last election timeout. */
  readonly active: boolean;
}

export class LeadershipKeeper {
  readonly #raft: Raft;
  readonly #random: Random;
  readonly #electionTicks: number;
  #known: MemberId = NOBODY;
  #changes = 0;
  #earlyCampaigns = EARLY_CAMPAIGNS;
  #earlyTicks: number;
  #handingOver: (() => void)[] = [];
  #handOverTicks = 0;
  #ticks = 0;
  /** As leader, in which tick each other member was last heard from. */
  readonly #heard = new Map<MemberId, number>();
  #stopped = false;

  constructor(raft: Raft, random: Random, electionTicks: number) {
    this.#raft = raft;
    this.#random = random;
    this.#electionTicks = electionTicks;
    this.#earlyTicks = 1 + random.below(electionTicks);
  }

  /** How often another leader was seen than before. */
  get changes(): number {
    return this.#changes;
  }

  /** What the leader knows of the others; empty at a follower. */
  progress(): PeerProgress[] {
    return this.#raft.peers.map(({ id, match, isLearner, recentActive }) => {
      return { id, match, isLearner, active: recentActive || this.#heardLately(id) };
    });
  }

  /** Wishes that `to` should lead. Throws AetherError: not_leader, or bad_transferee. */
  transfer(to: MemberId): void {
    if (this.#raft.role !== "leader") throw new AetherError("not_leader");
    const { voters } = this.#raft.configuration;
    if (!voters.includes(to)) throw new AetherError("bad_transferee", to.toString(16));
    this.#raft.transferLeadership(to);
  }

  /** Hands leadership to the best voter; `done` when another leads, or when that is not to be. */
  handOver(done: () => void): void {
    const { voters } = this.#raft.configuration;
    const heirs = this.progress().filter(({ id, active }) => active && voters.includes(id));
    const best = heirs.sort((a, b) => b.match - a.match)[0];
    if (best === undefined || this.#stopped) {
      done();
      return;
    }
    this.#handingOver.push(done);
    this.#handOverTicks = HAND_OVER_ELECTIONS * this.#electionTicks;
    this.transfer(best.id);
  }

  /** Raft says that leader, role or term are others now. */
  changed(): void {
    const { leader, role } = this.#raft;
    if (leader === NOBODY) return;
    if (leader !== this.#known) this.#changes++;
    this.#known = leader;
    if (role !== "leader") this.#endHandOver();
  }

  /** To be called before Raft's own tick, which forgets who was heard. */
  tick(): void {
    this.#campaignEarly();
    this.#noteHeard();
    if (this.#handingOver.length === 0) return;
    const { role, transferee } = this.#raft;
    const isInVain = role === "leader" && transferee === NOBODY; // the heir did not take it
    if (isInVain || --this.#handOverTicks === 0) this.#endHandOver();
  }

  /** Whoever waits for a new leader waits no more. */
  stop(): void {
    this.#stopped = true;
    this.#endHandOver();
  }

  #endHandOver(): void {
    for (const done of this.#handingOver.splice(0)) done();
  }

  /** Raft knows who was heard from since it last looked, which may be just now. */
  #noteHeard(): void {
    this.#ticks++;
    const { peers } = this.#raft;
    if (peers.length === 0) this.#heard.clear();
    for (const { id, recentActive } of peers) if (recentActive) this.#heard.set(id, this.#ticks);
  }

  #heardLately(id: MemberId): boolean {
    const heard = this.#heard.get(id);
    return heard !== undefined && this.#ticks - heard < this.#electionTicks;
  }

  #campaignEarly(): void {
    if (this.#earlyCampaigns === 0) return;
    if (this.#raft.leader !== NOBODY) this.#earlyCampaigns = 0;
    else if (--this.#earlyTicks === 0) {
      this.#earlyCampaigns--;
      this.#earlyTicks = 2 + this.#random.below(this.#electionTicks);
      this.#raft.campaign();
    }
  }
}
