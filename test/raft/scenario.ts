/**
 * Reads and performs the stories of scenarios/*.txt. A file is a header of `#` lines, then blocks:
 * commands (one a line, or divided by `;`), a line `----`, and the text they must print. The
 * commands of all blocks of a file work on one cluster; each file says what it needs.
 *
 *   nodes N [key=value…]     founds members 1 to N; keys are those of OPTIONS below
 *   learner-founded N        like nodes, but member N learns only
 *   join ID                  starts a member that knows nobody
 *   disk ID term=T log=1,1,2 [vote=V] [commit=C]     its disk from index 2 on; restarts it
 *   campaign ID | tick ID… [xN] | propose ID TEXT… | read ID NAME… | now ID
 *   change ID [joint|joint-manual] +4 -2 ~3 | leave ID       + voter, - remove, ~ learner
 *   transfer ID to ID | unreachable ID by ID | compact ID to INDEX | crash ID | restart ID
 *   settle | deliver [A>B|type]… [first] | lose [A>B|type]… [first] | turn ID | drain ID
 *   cut ID | cut A>B | heal | hold ID writes|apply | release ID | write ID | apply ID
 *   inject TYPE A>B term=T [key=value…]      a message nobody sent
 *   show ID… | log ID… | peers ID | network | reads | dropped ID | trace on|off | # comment
 */
import { AetherError } from "../../src/base/errors.ts";
import type { ChangeAction, ChangeStep, Transition } from "../../src/raft/membership/change.ts";
import { configurationOf, configurationText } from "../../src/raft/membership/configuration.ts";
import type { Message } from "../../src/raft/message.ts";
import type { Entry, EntryKind, MemberId } from "../../src/raft/types.ts";
import { Cluster, type ClusterOptions, member } from "./cluster.ts";
import { messageText } from "./message-text.ts";
import type { Packet, SimNode } from "./sim-node.ts";

/** Scenarios say what they want; without a word there are no pre-votes and no check of quorums. */
const PLAIN: ClusterOptions = {
  electionTicks: 3,
  preVote: false,
  checkQuorum: false,
  appendBytesMax: 10_000,
};

const OPTIONS: Record<string, (value: string) => ClusterOptions> = {
  prevote: () => ({ preVote: true }),
  checkquorum: () => ({ checkQuorum: true }),
  lease: (ms) => ({ checkQuorum: true, lease: { tickMs: Number(ms), driftPercentMax: 0 } }),
  election: (ticks) => ({ electionTicks: Number(ticks) }),
  append: (bytes) => ({ appendBytesMax: Number(bytes) }),
  inflight: (count) => ({ inflightCountMax: Number(count) }),
  uncommitted: (bytes) => ({ uncommittedBytesMax: Number(bytes) }),
};

const TICK_MS = 10;
const STEP_ACTIONS: Record<string, ChangeAction> = {
  "+": "add-voter",
  "-": "remove",
  "~": "add-learner",
};

type Command = (args: readonly string[]) => void;

export class Scenario {
  #cluster = new Cluster(PLAIN);
  #out: string[] = [];
  #nowMs = 0;
  #trace = false;
  readonly #readNames: string[] = [""];
  readonly #commands: Record<string, Command> = {
    nodes: ([count, ...options]) => this.#found(Number(count), 0, options),
    "learner-founded": ([count, ...options]) => this.#found(Number(count), 1, options),
    join: ([id]) => void this.#cluster.join(Number(id)),
    disk: ([id, ...fields]) => this.#disk(this.#node(id), fieldsOf(fields)),
    campaign: ([id]) => this.#campaign(this.#node(id)),
    tick: (args) => this.#tick(args),
    propose: ([id, ...texts]) => this.#propose(this.#node(id), texts),
    read: ([id, ...names]) => this.#read(this.#node(id), names),
    now: ([id]) => this.#print(`${id} reads at ${this.#node(id).raft.readNow(this.#nowMs)}`),
    change: ([id, ...words]) => this.#change(this.#node(id), words),
    leave: ([id]) => this.#change(this.#node(id), ["leave"]),
    transfer: ([id, , to]) => this.#transfer(this.#node(id), Number(to)),
    unreachable: ([id, , by]) => this.#node(by).raft.reportUnreachable(member(Number(id))),
    compact: ([id, , index]) => this.#compact(this.#node(id), Number(index)),
    crash: ([id]) => this.#cluster.crash(this.#node(id)),
    restart: ([id]) => this.#node(id).start(),
    settle: () => this.#cluster.settle(),
    deliver: (args) => this.#select(args, (at) => this.#cluster.deliver(at)),
    lose: (args) => this.#select(args, (at) => this.#cluster.lose(at)),
    turn: ([id]) => void this.#cluster.turn(this.#node(id)),
    drain: ([id]) => this.#drain(this.#node(id)),
    cut: ([what = ""]) => this.#cut(what),
    heal: () => this.#cluster.heal(),
    hold: ([id, what]) => this.#hold(this.#node(id), what),
    release: ([id]) => this.#release(this.#node(id)),
    write: ([id]) => void this.#node(id).finishWrite(),
    apply: ([id]) => void this.#node(id).applyOne(),
    inject: (args) => this.#inject(args),
    show: (ids) => this.#show(ids),
    log: (ids) => this.#log(ids),
    peers: ([id]) => this.#peers(this.#node(id)),
    network: () => this.#network(),
    reads: () => this.#reads(),
    dropped: ([id]) => this.#dropped(this.#node(id)),
    trace: ([state]) => {
      this.#trace = state === "on";
    },
  };

  /** Performs the commands of one block and returns what they printed. */
  run(block: string): string {
    this.#out = [];
    for (const line of block.split("\n")) {
      for (const command of (line.split("#")[0] as string).split(";")) {
        const [name = "", ...args] = command.trim().split(/\s+/);
        if (name !== "") this.#perform(name, args, command.trim());
      }
    }
    return this.#out.join("\n");
  }

  #perform(name: string, args: readonly string[], text: string): void {
    const command = this.#commands[name];
    if (command === undefined) throw new Error(`no such command: ${text}`);
    try {
      command(args);
    } catch (error) {
      if (!(error instanceof AetherError)) throw error;
      this.#print(`${text}: ${error.message}`);
    }
    for (const node of this.#cluster.nodes.values()) this.#cluster.checker.check(node);
  }

  #print(line: string): void {
    this.#out.push(line);
  }

  #node(id: string | undefined): SimNode {
    return this.#cluster.node(Number(id));
  }

  #found(count: number, learners: number, words: readonly string[]): void {
    const options = words.map((word) => {
      const [key = "", value = ""] = word.split("=");
      const option = OPTIONS[key];
      if (option === undefined) throw new Error(`no such option: ${word}`);
      return option(value);
    });
    this.#cluster = new Cluster(Object.assign({}, PLAIN, ...options) as ClusterOptions);
    this.#cluster.onPacket = (packet, delivered) => this.#traced(packet, delivered);
    const ids = Array.from({ length: count }, (_, i) => i + 1);
    this.#cluster.found(ids.slice(0, count - learners), ids.slice(count - learners));
  }

  #disk(node: SimNode, fields: Record<string, string>): void {
    const terms = (fields["log"] ?? "").split(",").filter((term) => term !== "");
    const commit = Number(fields["commit"] ?? 1);
    const entries = terms.map((term, i): Entry => {
      const kind: EntryKind = "normal";
      return { index: i + 2, term: Number(term), kind, payload: Buffer.from(`${i + 2}/${term}`) };
    });
    const vote = BigInt(fields["vote"] ?? 0);
    this.#cluster.crash(node);
    node.disk.write({
      hardState: { term: Number(fields["term"]), vote, commit },
      snapshot: undefined,
      entries,
    });
    node.start();
  }

  #campaign(node: SimNode): void {
    if (!node.raft.campaign()) this.#print(`${node.id} does not campaign`);
  }

  #tick(args: readonly string[]): void {
    const times = Number(args.find((arg) => arg.startsWith("x"))?.slice(1) ?? 1);
    for (let i = 0; i < times; i++) {
      this.#nowMs += TICK_MS;
      for (const id of args) {
        if (!id.startsWith("x")) this.#node(id).raft.tick(this.#nowMs);
      }
      if (times > 1) this.#cluster.settle();
    }
  }

  #propose(node: SimNode, texts: readonly string[]): void {
    for (const text of texts) {
      const [word = "", times = "1"] = text.split("*");
      for (let i = 0; i < Number(times); i++) node.raft.propose(Buffer.from(word));
    }
  }

  #read(node: SimNode, names: readonly string[]): void {
    for (const name of names) {
      const id = this.#readNames.push(name) - 1;
      this.#cluster.checker.askedRead(id);
      node.raft.readIndex(id);
    }
  }

  #change(node: SimNode, words: readonly string[]): void {
    let transition: Transition = "auto";
    const steps: ChangeStep[] = [];
    for (const word of words) {
      const action = STEP_ACTIONS[word[0] as string];
      if (action === undefined) transition = word as Transition;
      else steps.push({ action, id: member(Number(word.slice(1))) });
    }
    node.raft.proposeConfiguration({ transition, steps, context: new Uint8Array(0) });
  }

  #transfer(node: SimNode, to: number): void {
    node.raft.transferLeadership(member(to));
  }

  #compact(node: SimNode, index: number): void {
    node.saveState();
    node.compact(index);
  }

  #drain(node: SimNode): void {
    while (this.#cluster.turn(node));
  }

  #cut(what: string): void {
    const [from, to] = what.split(">");
    if (to === undefined) this.#cluster.isolate(member(Number(from)));
    else this.#cluster.cut(member(Number(from)), member(Number(to)));
  }

  #hold(node: SimNode, what: string | undefined): void {
    if (what === "apply") node.holdsApply = true;
    else node.holdsWrites = true;
  }

  #release(node: SimNode): void {
    node.holdsWrites = false;
    node.holdsApply = false;
    while (node.finishWrite());
    while (node.applyOne());
  }

  /** Acts on the packets that all words fit, oldest first; `first`: on one only. */
  #select(words: readonly string[], act: (at: number) => void): void {
    const fits = ({ message }: Packet): boolean =>
      words.every(
        (word) =>
          word === "first" || word === message.type || word === `${message.from}>${message.to}`,
      );
    const chosen = this.#cluster.network.filter(fits);
    if (words.includes("first")) chosen.length = Math.min(1, chosen.length);
    if (chosen.length === 0) this.#print(`nothing under way fits: ${words.join(" ")}`);
    for (const packet of chosen) act(this.#cluster.network.indexOf(packet));
  }

  #inject([type, way = "", ...words]: readonly string[]): void {
    const [from, to] = way.split(">").map((id) => member(Number(id)));
    const fields: Record<string, unknown> = { entries: [], rejection: undefined, force: false };
    for (const [key, value] of Object.entries(fieldsOf(words))) {
      if (key === "entries") fields[key] = injectedEntries(value);
      else if (key === "granted" || key === "force") fields[key] = value === "true";
      else if (key === "meta") fields[key] = injectedMeta(value);
      else if (key === "hint") fields["rejection"] = injectedHint(value);
      else fields[key] = key === "target" ? BigInt(value) : Number(value);
    }
    const message = { commit: 0, ...fields, type, from, to } as unknown as Message;
    this.#cluster.node(to as MemberId).raft.step(message);
  }

  #show(ids: readonly string[]): void {
    for (const id of ids.length === 0 ? this.#cluster.nodes.keys() : ids) {
      const node = this.#cluster.node(Number(id));
      if (!node.up) {
        this.#print(`${id} down`);
        continue;
      }
      const { role, term, leader, committed, applied, lastIndex, configuration } = node.raft;
      let line = `${id} ${role} term=${term}`;
      if (leader !== 0n && role !== "leader") line += ` of=${leader}`;
      line += ` commit=${committed} last=${lastIndex}/${node.raft.termAt(lastIndex)}`;
      if (applied !== committed) line += ` applied=${applied}`;
      this.#print(`${line} ${configurationText(configuration)}`);
    }
  }

  #log(ids: readonly string[]): void {
    for (const id of ids) {
      const { raft } = this.#node(id);
      const terms: number[] = [];
      for (let i = raft.firstIndex - 1; i <= raft.lastIndex; i++) terms.push(raft.termAt(i));
      this.#print(`${id} from ${raft.firstIndex - 1}: ${terms.join(" ")}`);
    }
  }

  #peers(node: SimNode): void {
    for (const peer of node.raft.peers) {
      let line = `${node.id} on ${peer.id}: ${peer.state} match=${peer.match} next=${peer.next}`;
      if (peer.paused) line += " paused";
      if (peer.inflights.count > 0) line += ` inflight=${peer.inflights.count}`;
      if (peer.pendingSnapshot > 0) line += ` snapshot=${peer.pendingSnapshot}`;
      if (peer.isLearner) line += " learner";
      this.#print(line);
    }
  }

  #network(): void {
    if (this.#cluster.network.length === 0) this.#print("nothing under way");
    for (const { message } of this.#cluster.network) this.#print(messageText(message));
  }

  #reads(): void {
    const { grants, refusals } = this.#cluster;
    for (const { node, grant } of grants.splice(0)) {
      this.#print(`${node.id} grants ${this.#readNames[grant.id]} at ${grant.index}`);
    }
    for (const { node, refusal } of refusals.splice(0)) {
      this.#print(`${node.id} refuses ${this.#readNames[refusal.id]}: ${refusal.error.code}`);
    }
  }

  #dropped(node: SimNode): void {
    const counts = Object.entries(node.raft.dropped).filter(([, count]) => count > 0);
    const text = counts.map(([reason, count]) => `${reason}=${count}`).join(" ");
    this.#print(`${node.id} dropped ${text === "" ? "nothing" : text}`);
  }

  #traced({ message }: Packet, delivered: boolean): void {
    if (this.#trace) this.#print(`${messageText(message)}${delivered ? "" : " LOST"}`);
  }
}

function fieldsOf(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.map((word) => word.split("=") as [string, string]));
}

/** `7/2,8/2`: entries by index and term. */
function injectedEntries(text: string): Entry[] {
  return text.split(",").map((word): Entry => {
    const [index, term] = word.split("/").map(Number);
    const kind: EntryKind = "normal";
    return { index: index as number, term: term as number, kind, payload: Buffer.from(word) };
  });
}

/** `9/3:1.2.3`: a snapshot at index 9 of term 3 with voters 1, 2 and 3. */
function injectedMeta(text: string): unknown {
  const [at = "", voters = ""] = text.split(":");
  const [index, term] = at.split("/").map(Number);
  const ids = voters.split(".").map((id) => member(Number(id)));
  return { index, term, configuration: configurationOf(ids) };
}

/** `5/2`: the rejection's hint. */
function injectedHint(text: string): unknown {
  const [hintIndex, hintTerm] = text.split("/").map(Number);
  return { hintIndex, hintTerm };
}
