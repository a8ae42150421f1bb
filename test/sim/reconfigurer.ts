/**
 * Changes the membership as an operator does: adds a machine and starts it, lets it vote, removes
 * members (the leader too, and those that are down), puts a new machine in the place of one whose
 * disk is gone. Changes are asked of any member, two at a time at most; a machine that is removed
 * is switched off when it knows, or later.
 */
import { AetherError } from "../../src/base/errors.ts";
import type { Prng } from "../../src/base/prng.ts";
import type { Changed } from "../../src/cluster/membership.ts";
import type { Member } from "../../src/proto/gen/etcdserverpb.ts";
import { fail } from "./failure.ts";
import type { SimNode } from "./node.ts";
import type { SimProcess } from "./process.ts";
import { exponential, randomOf } from "./streams.ts";
import type { World } from "./world.ts";

export interface ReconfigurerParts {
  readonly world: World;
  /** The members as whoever has applied most has them. */
  readonly members: () => readonly Member[];
  /** The highest index that anybody has applied. */
  readonly frontier: () => number;
}

export const CHANGES = ["add-voter", "add-learner", "promote", "remove", "replace"] as const;
export type Change = (typeof CHANGES)[number];

/** A learner may vote when it has so much of what was applied when it was asked for. */
const READY_SHARE = 0.9;

/** Addresses that machines may ever have had. */
const MACHINES_MAX = 12;

/**
 * Of fewer voters none is removed. Of two, the one that goes may be switched off before the other
 * knows durably that this was decided; if that one forgets it, it needs a vote that nobody gives.
 */
const VOTERS_MIN = 3;

/** Changes that may be under way at a time, perhaps at different leaders. */
const ASKED_MAX = 2;

type Done = (answer: Changed | AetherError) => void;

export class Reconfigurer {
  readonly #parts: ReconfigurerParts;
  readonly #random: Prng;
  /** Changes that were asked for and have no answer. */
  #asked = 0;
  /** A disk is lost, and its member not yet gone: nothing else is changed. */
  #replacing = false;
  #machines: number;

  constructor(parts: ReconfigurerParts) {
    this.#parts = parts;
    this.#random = randomOf(parts.world.seed, "reconfigurer");
    this.#machines = parts.world.settings.founders;
  }

  change(change: Change): void {
    if (this.#replacing || this.#asked >= ASKED_MAX) return;
    const member = this.#someone();
    if (member === undefined) return;
    if (change === "promote") this.#promote(member);
    else if (change === "remove") this.#remove(member);
    else if (change === "replace") this.#replace(member);
    else this.#add(member, change === "add-learner");
  }

  get #up(): SimProcess[] {
    const ids = this.#parts.members().map(({ ID }) => ID);
    return [...this.#parts.world.nodes.values()].flatMap(({ id, process }) => {
      return process?.group === undefined || !ids.includes(id) ? [] : [process];
    });
  }

  #someone(): SimProcess | undefined {
    const up = this.#up;
    return up.length === 0 ? undefined : this.#random.pick(up);
  }

  #add(asked: SimProcess, isLearner: boolean): void {
    const { settings } = this.#parts.world;
    if (this.#parts.members().length >= settings.membersMax) return;
    if (this.#machines >= MACHINES_MAX) return;
    const peerURLs = [peerUrlOf(++this.#machines)];
    this.#ask("add", asked, (done) => asked.membership.add({ peerURLs, isLearner }, done));
  }

  /** Anybody who learns: whether it knows enough is for the leader to say. */
  #promote(asked: SimProcess): void {
    const learners = this.#parts.members().filter(({ isLearner }) => isLearner);
    if (learners.length === 0) return;
    const { ID } = this.#random.pick(learners);
    const due = READY_SHARE * this.#parts.frontier();
    const promote: (done: Done) => void = (done) => asked.membership.promote({ ID }, done);
    this.#ask("promote", asked, promote, (answer) => {
      const has = this.#nodeOf(ID)?.logDisk.lastIndex ?? 0;
      if (answer instanceof AetherError || has >= due) return;
      fail(`a learner was promoted that has ${has} entries, at least ${due} were due`);
    });
  }

  #remove(asked: SimProcess): void {
    const { ID, isLearner } = this.#random.pick(this.#parts.members());
    const voters = this.#parts.members().filter((member) => !member.isLearner);
    if (!isLearner && voters.length < VOTERS_MIN + this.#asked) return;
    this.#ask("remove", asked, (done) => asked.membership.remove({ ID }, done));
  }

  /** A disk is lost while all others are well; the operator goes on until its member is gone. */
  #replace(asked: SimProcess): void {
    const members = this.#parts.members();
    const voters = members.filter(({ isLearner }) => !isLearner);
    const { world } = this.#parts;
    if (!world.settings.strictChanges || voters.length < VOTERS_MIN || this.#asked > 0) return;
    if (this.#up.length < members.length) return;
    const { ID } = this.#random.pick(voters);
    if (ID === asked.node.id) return;
    world.trace.note("disk lost", this.#nodeOf(ID)?.number ?? 0);
    this.#nodeOf(ID)?.retire();
    this.#replacing = true;
    this.#removeLost(ID);
  }

  #removeLost(ID: bigint): void {
    const { world } = this.#parts;
    const isMember = this.#parts.members().some((member) => member.ID === ID);
    const asked = this.#someone();
    if (!isMember) {
      this.#replacing = false;
      if (asked !== undefined) this.#add(asked, true);
      return;
    }
    const again = (): void => {
      const { tickMs, electionTicks } = world.settings;
      world.schedule.after(2 * tickMs * electionTicks, () => this.#removeLost(ID));
    };
    if (asked === undefined) again();
    else this.#ask("remove lost", asked, (done) => asked.membership.remove({ ID }, done), again);
  }

  /** `done` may never be called: the process that was asked can die. */
  #ask(what: string, asked: SimProcess, act: (done: Done) => void, then: Done = () => {}): void {
    const { world } = this.#parts;
    this.#asked++;
    let over = false;
    const end: Done = (answer) => {
      if (over) return;
      over = true;
      this.#asked--;
      const told = answer instanceof AetherError ? answer.message : "done";
      world.trace.note("changed", asked.node.number, 0, 0, () => `${what}: ${told}`);
      then(answer);
    };
    world.trace.note("change", asked.node.number, 0, 0, () => what);
    const delayMs = exponential(this.#random, 1);
    world.schedule.after(delayMs, () => asked.enter(what, () => act(end)));
    asked.onEnd(() => end(new AetherError("unhealthy", "connection lost")));
  }

  #nodeOf(id: bigint): SimNode | undefined {
    return [...this.#parts.world.nodes.values()].find((node) => node.id === id);
  }
}

/** The address of machine `number`. */
export function peerUrlOf(number: number): string {
  return `http://n${number}:2380`;
}

/** The number of the machine with this address. */
export function machineOf({ peerURLs }: Member): number {
  return Number(/n(\d+):/.exec(peerURLs[0] ?? "")?.[1]);
}
