/**
 * Looks at every member after every step it makes, and at every write and message of it on the
 * way: the safety properties of the paper (figure 3), and what members promise beyond them.
 *
 *   election safety      a term has one leader, and a member one vote in it
 *   durable promises     what a message promises is on the disk of its sender when it leaves
 *   log matching         an (index, term) is one payload after one previous term, everywhere
 *   leader completeness  a new leader has every entry that was committed before its term
 *   quorum               what is committed is on the disks of a majority
 *   state machine        the same rows, revision and state at the same index; nothing goes back
 *   exactly once         no command of a client is in the committed log twice
 */
import { assert } from "../../src/base/assert.ts";
import type { LogWrite } from "../../src/node/ports.ts";
import { configurationText } from "../../src/raft/membership/configuration.ts";
import type { Message } from "../../src/raft/message.ts";
import type { Configuration, Entry, MemberId } from "../../src/raft/types.ts";
import { stateHash } from "../../src/state/state-hash.ts";
import { verify } from "../../src/state/verify.ts";
import { Chronicle } from "./chronicle.ts";
import { fail } from "./failure.ts";
import type { SimNode } from "./node.ts";
import type { Observer, SimProcess } from "./process.ts";
import { tagsOf } from "./tags.ts";
import type { World } from "./world.ts";

interface LogSeen {
  readonly payload: Uint8Array;
  readonly previousTerm: number;
}

/** What was last seen of a process. */
interface Seen {
  term: number;
  committed: number;
  applied: number;
  revision: number;
  ledTerm: number;
  configuration: Configuration;
}

/** What a member has told others, over all its lives. */
interface Promised {
  term: number;
  readonly votes: Map<number, MemberId>;
}

/** The state of one index in so many is hashed whole by everyone who stops there. */
const HASHED_EVERY = 8;

/** They promise nothing about the disk, or speak of a term that has not begun. */
const MAY_RACE_THE_DISK: ReadonlySet<Message["type"]> = new Set([
  "pre-vote",
  "pre-vote-response",
  "heartbeat-response",
  "read-index",
  "transfer",
]);

export class Safety implements Observer {
  readonly chronicle: Chronicle;
  readonly #world: World;
  readonly #leaders = new Map<number, SimNode>();
  readonly #entries = new Map<number, LogSeen>();
  /** The term of each committed index. */
  readonly #committed: number[] = [];
  readonly #appearances = new Map<number, number>();
  readonly #states = new Map<number, string>();
  readonly #seen = new Map<SimProcess, Seen>();
  readonly #promised = new Map<SimNode, Promised>();
  /** The last two that leaders had. */
  readonly #leaderConfigurations: Configuration[] = [];
  #verified = 0;
  /** The frontier of what anybody has applied moved, at this process. */
  onFrontier: (process: SimProcess) => void = () => {};
  frontier = 0;
  /** A member began to lead. */
  onLead: (node: SimNode) => void = () => {};

  constructor(world: World) {
    this.#world = world;
    this.chronicle = new Chronicle(() => world.schedule.nowMs);
  }

  /** The highest index that anybody knows to be committed. */
  get committedMax(): number {
    return this.#committed.length - 1;
  }

  /** Whether a command was applied by anybody. */
  happened(tag: number): boolean {
    return this.#appearances.has(tag);
  }

  onBoot(process: SimProcess): void {
    const { node, group } = process;
    const promised = this.#promisedBy(node);
    const term = node.logDisk.hardState?.term ?? 0;
    if (term < promised.term) fail(`${name(node)} starts in term ${term}, spoke in a later one`);
    this.#seen.set(process, {
      term: group.term,
      committed: 0,
      applied: group.appliedIndex,
      revision: 0,
      ledTerm: 0,
      configuration: group.configuration,
    });
  }

  onLogWrite({ node, log }: SimProcess, { entries, hardState, snapshot }: LogWrite): void {
    let previous = entries[0] === undefined ? 0 : termAt(log.view, entries[0].index - 1);
    if (snapshot !== undefined && entries[0]?.index === snapshot.index + 1) {
      previous = snapshot.term;
    }
    for (const entry of entries) {
      const key = entry.index * 2 ** 20 + entry.term;
      const seen = this.#entries.get(key);
      const what = `log matching at ${entry.index} in term ${entry.term}, by ${name(node)}`;
      if (seen === undefined) {
        this.#entries.set(key, { payload: entry.payload, previousTerm: previous });
      } else if (Buffer.compare(seen.payload, entry.payload) !== 0)
        fail(`${what}: another payload`);
      else if (seen.previousTerm !== previous) fail(`${what}: after another term`);
      previous = entry.term;
      const committed = this.#committed[entry.index];
      if (committed !== undefined && committed !== entry.term && log.view.hardState !== undefined) {
        this.#checkReplaced(node, log.view.lastIndex, entry, committed);
      }
    }
    const term = log.view.hardState?.term ?? 0;
    if (hardState !== undefined && hardState.term < term) fail(`${name(node)} takes back a term`);
  }

  onSend({ node }: SimProcess, message: Message): void {
    const { logDisk } = node;
    const { type, term } = message;
    const promised = this.#promisedBy(node);
    if (!MAY_RACE_THE_DISK.has(type)) {
      const durable = logDisk.hardState?.term ?? 0;
      if (term > durable) fail(`${name(node)} speaks in term ${term}, durable is ${durable}`);
      promised.term = Math.max(promised.term, term);
    }
    if (type === "append-response" && message.rejection === undefined) {
      const { index } = message;
      if (index > logDisk.lastIndex) {
        fail(`${name(node)} acknowledges ${index}, durable is ${logDisk.lastIndex}`);
      }
    } else if (type === "vote-response" && message.granted) this.#vote(node, term, message.to);
    else if (type === "vote") this.#vote(node, term, node.id);
  }

  afterStep(process: SimProcess): void {
    const seen = this.#seen.get(process);
    if (seen === undefined) return; // it died before it had begun
    const { group, node } = process;
    if (group.term < seen.term) fail(`the term of ${name(node)} went back`);
    seen.term = group.term;
    if (group.isLeader && seen.ledTerm !== group.term) this.#lead(process, seen);
    if (group.committedIndex < seen.committed) fail(`the commit index of ${name(node)} went back`);
    seen.committed = group.committedIndex;
    if (group.appliedIndex !== seen.applied) {
      this.#commit(process, seen);
      this.#apply(process, seen);
    }
    seen.configuration = group.configuration;
    if (group.isLeader && this.#leaderConfigurations[0] !== group.configuration) {
      this.#leaderConfigurations.unshift(group.configuration);
      this.#leaderConfigurations.length = Math.min(this.#leaderConfigurations.length, 2);
    }
    if (this.#isDue()) verifyAll(process);
  }

  /** What a new term's leader was elected by, and that it has all that was committed. */
  #lead({ node, group, log }: SimProcess, seen: Seen): void {
    const { term } = group;
    seen.ledTerm = term;
    this.#world.trace.note("leads", node.number, term);
    const other = this.#leaders.get(term);
    if (other !== undefined && other !== node) {
      fail(`election safety: ${name(other)} and ${name(node)} lead in term ${term}`);
    }
    this.#leaders.set(term, node);
    this.onLead(node);
    for (let index = log.view.firstIndex; index < this.#committed.length; index++) {
      const committed = this.#committed[index];
      if (committed === undefined || committed >= term) continue;
      if (termAt(log.view, index) === committed) continue;
      fail(`leader completeness: ${name(node)} leads in term ${term} without ${index}`);
    }
  }

  /** What a member applied was committed: whoever did so first says what it is. */
  #commit(process: SimProcess, seen: Seen): void {
    const { node, group, log } = process;
    const { appliedIndex } = group;
    const first = Math.max(seen.applied + 1, log.view.firstIndex);
    const isNew = appliedIndex > this.committedMax;
    for (let index = first; index <= appliedIndex; index++) {
      const entry = log.view.entries[index - log.view.firstIndex];
      if (entry === undefined) fail(`${name(node)} applied ${index}, which it does not have`);
      const known = this.#committed[index];
      if (known === undefined) {
        this.#committed[index] = entry.term;
        this.#countOnce(entry);
      } else if (known !== entry.term) {
        fail(`${name(node)} applied another entry at ${index}: ${entry.term}, not ${known}`);
      }
    }
    if (isNew) this.#checkQuorum(process, seen, appliedIndex);
  }

  /**
   * What nobody has applied before is durable at a majority: by the voters of whoever applied it,
   * or by those of the last leader, who may have applied a change of them before or not yet.
   */
  #checkQuorum({ group, node }: SimProcess, seen: Seen, index: number): void {
    const term = this.#committed[index] as number;
    const holds = (id: MemberId): boolean => {
      const disk = this.#world.nodes.get(id)?.logDisk;
      return disk !== undefined && (index < disk.firstIndex || termAt(disk, index) === term);
    };
    const isQuorum = ({ voters, votersOutgoing }: Configuration): boolean =>
      [voters, votersOutgoing].every(
        (half) => half.length === 0 || 2 * half.filter(holds).length > half.length,
      );
    // The change that this commit put in force did not count for it.
    const possible = [group.configuration, seen.configuration, ...this.#leaderConfigurations];
    if (possible.some(isQuorum)) return;
    fail(`quorum: ${name(node)} committed ${index}, durable at ${this.#holders(holds)}`);
  }

  #holders(holds: (id: MemberId) => boolean): string {
    const nodes = [...this.#world.nodes.values()].filter(({ id }) => holds(id));
    return nodes.map(name).join(" ");
  }

  #countOnce(entry: Entry): void {
    for (const tag of tagsOf(entry)) {
      const before = this.#appearances.get(tag);
      if (before !== undefined)
        fail(`exactly once: request ${tag} at ${before} and ${entry.index}`);
      this.#appearances.set(tag, entry.index);
    }
  }

  /** Entries that a member takes back must not be committed ones. */
  #checkReplaced(node: SimNode, last: number, entry: Entry, committed: number): void {
    if (entry.index <= last && termAt(node.logDisk, entry.index) === committed) {
      fail(`${name(node)} replaces the committed entry ${entry.index}`);
    }
  }

  #apply(process: SimProcess, seen: Seen): void {
    const { node, group } = process;
    const { machine, appliedIndex } = group;
    if (appliedIndex < seen.applied) fail(`the applied index of ${name(node)} went back`);
    if (appliedIndex > group.committedIndex) fail(`${name(node)} applied what is not committed`);
    if (appliedIndex > node.logDisk.lastIndex) fail(`${name(node)} applied what is not durable`);
    seen.applied = appliedIndex;
    const { revision, compactRevision } = machine;
    if (revision < seen.revision) fail(`the revision of ${name(node)} went back`);
    if (revision > seen.revision) {
      const after = Math.max(1, seen.revision);
      const rows = machine.scan(machine.seek(after + 1), Number.MAX_SAFE_INTEGER);
      for (const row of rows) {
        if (row.revision <= this.chronicle.revision) continue;
        this.#world.trace.say("row", node.number, () => {
          return `${row.revision}.${row.sub} ${row.tombstone ? "delete" : "put"} ${row.key}`;
        });
      }
      this.chronicle.compare(name(node), rows, { after, revision, compacted: compactRevision });
      seen.revision = revision;
    }
    this.#compareStates(process);
    if (appliedIndex > this.frontier) {
      this.frontier = appliedIndex;
      this.onFrontier(process);
    }
  }

  #compareStates({ node, group }: SimProcess): void {
    const { machine, appliedIndex, configuration } = group;
    const { revision, compactRevision, keyCount, leaseCount } = machine;
    const figures = [revision, compactRevision, keyCount, leaseCount].join("-");
    const isHashed = Math.imul(appliedIndex, 0x9e3779b1) >>> 0 < 2 ** 32 / HASHED_EVERY;
    const whole = isHashed ? stateHash(machine) : "";
    const state = `${figures} ${configurationText(configuration)} ${whole}`;
    const known = this.#states.get(appliedIndex);
    if (known === undefined) this.#states.set(appliedIndex, state);
    else if (known !== state) {
      fail(`state machine: ${name(node)} at ${appliedIndex} is ${state}, others ${known}`);
    }
    this.#world.trace.note("applied", node.number, appliedIndex, revision);
  }

  #vote(node: SimNode, term: number, candidate: MemberId): void {
    const { votes } = this.#promisedBy(node);
    const before = votes.get(term);
    if (before !== undefined && before !== candidate) {
      fail(`election safety: ${name(node)} votes twice in term ${term}`);
    }
    votes.set(term, candidate);
    const { hardState } = node.logDisk;
    if (hardState?.term === term && hardState.vote !== candidate) {
      fail(`${name(node)} votes in term ${term}, and that vote is not durable`);
    }
  }

  #promisedBy(node: SimNode): Promised {
    let promised = this.#promised.get(node);
    if (promised === undefined) {
      promised = { term: 0, votes: new Map() };
      this.#promised.set(node, promised);
    }
    return promised;
  }

  #isDue(): boolean {
    this.#verified += this.#world.settings.verified;
    if (this.#verified < 1000) return false;
    this.#verified -= 1000;
    return true;
  }
}

/** Every invariant that the parts of a group know of. */
export function verifyAll({ group }: SimProcess): void {
  verify(group.machine);
  group.verify();
}

export function name(node: SimNode): string {
  return `n${node.number}`;
}

/** The term at `index` of a log in memory; -1 if it is not there. */
function termAt(log: SimProcess["log"]["view"], index: number): number {
  if (index === log.firstIndex - 1) return log.snapshot?.term ?? 0;
  return log.entries[index - log.firstIndex]?.term ?? -1;
}

export function assertUp(node: SimNode): SimProcess {
  const { process } = node;
  assert(process !== undefined, "a healed member is up");
  return process;
}
