/**
 * One seed: a cluster is founded and lives with its clients through faults; everything is checked
 * on the way. Then the faults end, and within a bounded time the members must have a leader, be
 * equal, and serve: what nobody could see from outside must not have been lost either.
 */
import { AetherError } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/ports.ts";
import type { Prng } from "../../src/base/prng.ts";
import { EXPIRY_RETRY_MS } from "../../src/node/lease-clock.ts";
import type { Founding } from "../../src/node/start.ts";
import { silentLog } from "../../src/observe/log.ts";
import { Member } from "../../src/proto/gen/etcdserverpb.ts";
import { configurationOf, isJoint, membersOf } from "../../src/raft/membership/configuration.ts";
import { founding } from "../../src/raft/restore.ts";
import type { MemberId } from "../../src/raft/types.ts";
import { stateHash } from "../../src/state/state-hash.ts";
import { type History, merge } from "../check/history.ts";
import type { Request } from "../check/requests.ts";
import type { Told } from "./calls.ts";
import { Client } from "./client.ts";
import { Failure, fail } from "./failure.ts";
import { judge } from "./judge.ts";
import { Keeper } from "./keeper.ts";
import { LeaseBook } from "./leases.ts";
import { Nemesis } from "./nemesis.ts";
import { Network } from "./network.ts";
import { SimNode } from "./node.ts";
import type { SimProcess } from "./process.ts";
import { machineOf, peerUrlOf, Reconfigurer } from "./reconfigurer.ts";
import { TTL_SECONDS_MAX } from "./request-maker.ts";
import { name, Safety, verifyAll } from "./safety.ts";
import { Schedule } from "./schedule.ts";
import { drawSettings, READING, type Settings } from "./settings.ts";
import { exponential, randomOf } from "./streams.ts";
import { type Line, Trace } from "./trace.ts";
import { Watcher } from "./watcher.ts";
import type { World } from "./world.ts";

export interface SimulationOptions {
  /** Events after which the faults end, if their time is not over before. */
  readonly stepsMax?: number;
  /** Gets every event as a line. */
  readonly line?: Line | undefined;
}

export interface SimulationResult {
  readonly hash: number;
  readonly events: number;
  readonly committed: number;
  readonly answered: number;
  readonly simulatedMs: number;
  /** How often what happened. */
  readonly counts: Readonly<Record<string, number>>;
}

/** Election timeouts in which a healed cluster must agree and serve. */
const HEALED_ELECTIONS_MAX = 60;

/** In which a healed member answers. */
const SERVICE_MS = 10_000;

export class Simulation implements World {
  readonly seed: number;
  readonly settings: Settings;
  readonly schedule = new Schedule();
  readonly trace: Trace;
  readonly network: Network;
  readonly observer: Safety;
  readonly nodes = new Map<MemberId, SimNode>();
  readonly #options: SimulationOptions;
  readonly #random: Prng;
  readonly #leases: LeaseBook;
  readonly #clients: Client[] = [];
  readonly #keepers: Keeper[] = [];
  readonly #watchers: Watcher[] = [];
  readonly #nemesis: Nemesis;
  /** The members as whoever has applied most has them. */
  #memberList: readonly Member[] = [];
  #tags = 0;
  #healed = false;

  constructor(seed: number, options: SimulationOptions = {}) {
    this.seed = seed;
    this.#options = options;
    this.settings = drawSettings(seed);
    const { driftPercentMax, network } = this.settings;
    const nowMs = (): number => this.schedule.nowMs;
    this.#random = randomOf(seed, "simulation");
    this.trace = new Trace(nowMs, options.line);
    this.network = new Network(seed, this.schedule, network);
    this.#leases = new LeaseBook(nowMs, driftPercentMax);
    this.observer = new Safety(this);
    this.observer.onFrontier = (process) => this.#frontier(process);
    const nextTag = (): number => ++this.#tags;
    const members = (): readonly Member[] => this.#memberList;
    const frontier = (): number => this.observer.frontier;
    this.#nemesis = new Nemesis(this, new Reconfigurer({ world: this, members, frontier }));
    this.observer.onLead = (node) => this.#nemesis.elected(node);
    this.#found();
    this.#addClients(nextTag);
  }

  /** What the clients did and saw. */
  get history(): History {
    const all = [...this.#clients, ...this.#watchers];
    return merge(all.map(({ history }) => history));
  }

  /** Runs the seed to its end; throws what was found. */
  run(): SimulationResult {
    this.trace.note("settings", 0, this.seed, 0, () => JSON.stringify(this.settings));
    for (const node of this.nodes.values()) node.start();
    const { clients, readers } = this.settings.clients;
    for (const client of this.#clients.slice(0, clients + readers)) client.start();
    for (const keeper of this.#keepers) keeper.start();
    for (const watcher of this.#watchers) watcher.start();
    this.#nemesis.start();
    const { lengthMs } = this.settings;
    const stepsMax = this.#options.stepsMax ?? Number.POSITIVE_INFINITY;
    let steps = 0;
    while (steps < stepsMax && this.schedule.step(lengthMs)) steps++;
    this.#heal();
    this.#converge();
    this.#serve();
    this.#catchUp();
    this.#expireAll();
    judge(this.history, this.observer.chronicle, this.settings.driftPercentMax > 0);
    return {
      hash: this.trace.hash,
      events: this.schedule.plannedCount,
      committed: this.observer.committedMax,
      answered: this.#clients.reduce((sum, { answered }) => sum + answered, 0),
      simulatedMs: this.schedule.nowMs,
      counts: this.trace.counts,
    };
  }

  loggerOf(node: SimNode): Log {
    if (this.#options.line === undefined) return silentLog;
    const line = (message: string, fields?: object): void => {
      const text = Object.entries(fields ?? {}).map(([key, value]) => `${key}=${value}`);
      this.trace.say("log", node.number, () => `${message} ${text.join(" ")}`);
    };
    return { trace: line, debug: line, info: line, warn: line, error: line };
  }

  afterCrash(node: SimNode): void {
    const electionMs = this.settings.tickMs * this.settings.electionTicks;
    const mean = electionMs * this.#random.pick([0.2, 1, 1, 5]);
    const delayMs = this.#healed ? 0 : exponential(this.#random, mean);
    this.schedule.after(delayMs, () => node.start());
  }

  /** The founders; all have the same start. */
  #found(): void {
    const ids = randomOf(this.seed, "ids");
    const founders = Array.from({ length: this.settings.founders }, (_, i) => ({
      number: i + 1,
      id: ids.id63() as MemberId,
    }));
    const start: Founding = {
      ...founding(configurationOf(founders.map(({ id }) => id))),
      members: founders.map(({ id, number }) =>
        Member.create({ ID: id, name: `n${number}`, peerURLs: [peerUrlOf(number)] }),
      ),
    };
    for (const { id, number } of founders) {
      this.nodes.set(id, new SimNode(this, number, id, start));
    }
    this.#memberList = start.members;
  }

  #addClients(nextTag: () => number): void {
    const { clients, readers, keepers, watchers, thinkMs, weights } = this.settings.clients;
    const addresses = (): readonly SimNode[] => [...this.nodes.values()].filter(isServing);
    const happened = (tag: number): boolean => this.observer.happened(tag);
    const revision = (): number => this.observer.chronicle.revision;
    const shared = { world: this, leases: this.#leases, addresses, nextTag, happened };
    for (let number = 1; number <= clients + readers + keepers; number++) {
      const isReader = number > clients;
      const mix = isReader ? { weights: READING, thinkMs: thinkMs / 2 } : { weights, thinkMs };
      const client = new Client({ ...shared, ...mix, number });
      this.#clients.push(client);
      if (number <= clients + readers) continue;
      this.#keepers.push(new Keeper({ ...shared, number, client }));
    }
    for (let number = 1; number <= watchers; number++) {
      this.#watchers.push(new Watcher({ world: this, number, addresses, revision }));
    }
  }

  /** Somebody has applied more than anybody before. */
  #frontier(process: SimProcess): void {
    this.#leases.look(process);
    const members = process.group.machine.members();
    if (members === this.#memberList) return;
    this.#memberList = members;
    for (const member of members) this.#switchOn(member);
  }

  /** Whoever was added is started, soon: it joins with nothing. */
  #switchOn(member: Member): void {
    const id = member.ID as MemberId;
    if (this.nodes.has(id)) return;
    const node = new SimNode(this, machineOf(member), id, undefined);
    this.nodes.set(id, node);
    this.schedule.after(exponential(this.#random, this.settings.tickMs), () => node.start());
  }

  #heal(): void {
    this.#healed = true;
    this.trace.note("heal", 0);
    for (const client of this.#clients) client.stop();
    for (const keeper of this.#keepers) keeper.stop();
    this.#nemesis.stop();
    this.network.heal();
    for (const node of this.nodes.values()) node.start();
  }

  #converge(): void {
    const agreed = this.#within(HEALED_ELECTIONS_MAX, () => {
      const leader = this.#leader();
      return leader !== undefined && this.#areEqual(leader);
    });
    if (!agreed) fail(`liveness: no agreement; ${this.#picture()}`);
    const hashes = new Set(this.#members().map(({ group }) => stateHash(group.machine)));
    if (hashes.size !== 1) fail(`the members are not equal: ${[...hashes].join(" ")}`);
    for (const process of this.#members()) verifyAll(process);
  }

  /** Every member serves: a write, and a read that sees it. */
  #serve(): void {
    for (const { node } of this.#members()) {
      const problem = this.#serviceOf(node);
      // One that was removed by a change that was still under way is excused.
      if (problem !== undefined && !node.retired) fail(`${name(node)} ${problem}`);
    }
  }

  /** What is wrong with the service of a member; undefined if nothing is. */
  #serviceOf(node: SimNode): string | undefined {
    const client = this.#clients[0] as Client;
    const value = `last-${node.number}`;
    const key = `k${node.number}`;
    const write = this.#ask(client, node, { kind: "put", key, value });
    if (write.kind !== "answered") return `does not write: ${told(write)}`;
    const read = this.#ask(client, node, { kind: "range", key });
    if (read.kind !== "answered") return `does not read: ${told(read)}`;
    const seen = read.answer.kind === "range" ? read.answer.kvs?.[0]?.value : undefined;
    return seen === value ? undefined : `does not read what it wrote: ${told(read)}`;
  }

  /** Every watcher is told of everything. */
  #catchUp(): void {
    const behind = (): Watcher[] =>
      this.#watchers.filter(({ next }) => next <= this.observer.chronicle.revision);
    const told = this.#within(HEALED_ELECTIONS_MAX, () => {
      for (const watcher of behind()) watcher.askProgress();
      return behind().length === 0;
    });
    const [late] = behind();
    if (!told)
      fail(`liveness: a watcher is at ${late?.next} of ${this.observer.chronicle.revision}`);
  }

  /** Nobody renews: every lease runs out, after an expiry that was lost too. */
  #expireAll(): void {
    const leases = (): number => this.#leader()?.group.machine.leaseCount ?? 0;
    if (leases() === 0) return;
    const electionMs = this.settings.tickMs * this.settings.electionTicks;
    const elections = Math.ceil((1.2 * TTL_SECONDS_MAX * 1000 + EXPIRY_RETRY_MS) / electionMs);
    const gone = this.#within(elections + HEALED_ELECTIONS_MAX, () => leases() === 0);
    if (!gone) fail(`liveness: ${leases()} leases do not run out`);
  }

  #ask(client: Client, node: SimNode, request: Request): Told {
    let answer: Told | undefined;
    client.ask(node, request, SERVICE_MS, (came) => {
      answer = came;
    });
    while (answer === undefined) this.schedule.step(Number.POSITIVE_INFINITY);
    return answer;
  }

  /** Runs on until `done`, looking once an election timeout; false if it is not to be. */
  #within(elections: number, done: () => boolean): boolean {
    const electionMs = this.settings.tickMs * this.settings.electionTicks;
    for (let passed = 0; passed < elections; passed++) {
      const untilMs = this.schedule.nowMs + electionMs;
      while (this.schedule.step(untilMs));
      if (done()) return true;
    }
    return false;
  }

  #leader(): SimProcess | undefined {
    let leader: SimProcess | undefined;
    for (const { process } of this.nodes.values()) {
      if (process?.group.isLeader !== true) continue;
      if (leader === undefined || process.group.term > leader.group.term) leader = process;
    }
    return leader;
  }

  /** The processes of the leader's members. */
  #members(): SimProcess[] {
    const leader = this.#leader();
    if (leader === undefined) return [];
    return membersOf(leader.group.configuration).flatMap((id) => {
      const process = this.nodes.get(id)?.process;
      return process === undefined ? [] : [process];
    });
  }

  /** Every member has applied all that the leader has. Others are switched off. */
  #areEqual(leader: SimProcess): boolean {
    const { configuration } = leader.group;
    const ids = membersOf(configuration);
    for (const node of this.nodes.values()) {
      if (node.up && !ids.includes(node.id)) node.retire();
    }
    const members = this.#members();
    if (isJoint(configuration) || members.length !== ids.length) return false;
    const last = leader.log.view.lastIndex;
    return members.every(({ group }) => group.appliedIndex === last);
  }

  #picture(): string {
    const parts = [...this.nodes.values()].map((node) => {
      const { process } = node;
      if (process === undefined) return `${name(node)} ${node.retired ? "removed" : "down"}`;
      const { group, log } = process;
      const role = group.isLeader ? "leads" : `follows ${this.nodes.get(group.leader)?.number}`;
      const log_ = `${group.appliedIndex}/${group.committedIndex}/${log.view.lastIndex}`;
      return `${name(node)} ${role} in term ${group.term} at ${log_}`;
    });
    return parts.join(", ");
  }
}

function isServing(node: SimNode): boolean {
  return node.up && (node.process as SimProcess).group?.machine.appliedIndex > 0;
}

function told(told: Told): string {
  return JSON.stringify(told);
}

/** Runs one seed; throws a Failure, or what the program itself threw. */
export function simulate(seed: number, options: SimulationOptions = {}): SimulationResult {
  try {
    return new Simulation(seed, options).run();
  } catch (error) {
    if (error instanceof AetherError)
      throw new Failure(`uncaught ${error.message}`, { cause: error });
    throw error;
  }
}
