/** What can be said at the prompt of a cluster. */
import { latin1 } from "../../src/base/bytes.ts";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import type { Cluster } from "../../test/support/cluster.ts";
import type { Member } from "../../test/support/member.ts";
import { SteadyLoad } from "../../test/support/steady-load.ts";
import { clusterTable } from "./table.ts";

/** Said wrongly: one line that says how it is said. */
export class CommandError extends Error {}

const CALL_MS_MAX = 10_000;
const LOAD_CLIENTS = 8;
/** Then another node is tried. */
const LOAD_TRY_MS = 1000;
const LOAD_SECONDS_MAX = 3600;
const LOG_LINES = 20;

interface Command {
  /** Words after the name, as the help shows them. */
  readonly words: string;
  readonly help: string;
  /** What is shown; undefined ends the program. */
  run(cluster: Cluster, words: readonly string[]): Promise<string | undefined>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  status: { words: "", help: "roles, terms, indexes", run: (cluster) => clusterTable(cluster) },
  kill: change("SIGKILL: it crashes", (_, member) => member.kill()),
  stop: change("SIGTERM: it hands over and ends", (_, member) => member.stop()),
  restart: change("starts it (again)", (_, member) => member.restart()),
  pause: change("SIGSTOP: it does nothing, its connections stay", async (_, member) => {
    member.pause();
  }),
  resume: change("SIGCONT", async (_, member) => member.resume()),
  cut: change("cuts it off from the others (--proxied)", async (cluster, member) => {
    const others = cluster.members.filter((other) => other !== member);
    cluster.network.cut([
      ...others.map((other) => ({ from: other.number, to: member.number })),
      ...others.map((other) => ({ from: member.number, to: other.number })),
    ]);
  }),
  heal: {
    words: "",
    help: "mends what was cut",
    run: async (cluster) => {
      cluster.network.cut([]);
      return await leaderLine(cluster);
    },
  },
  add: {
    words: "",
    help: "a new member, which gets the state from the leader",
    run: async (cluster) => {
      const { name, endpoint } = await cluster.add();
      return `${name} has joined and serves at ${endpoint}`;
    },
  },
  remove: change("takes it out of the cluster; it ends", async (cluster, member) => {
    await cluster.remove((await member.status()).id);
    await member.process.ended();
    await cluster.forget(member);
  }),
  put: {
    words: "KEY VALUE",
    help: "writes, at any node",
    run: async (cluster, words) => {
      const [key, value] = exactly(words, 2, "put KEY VALUE");
      const { header } = await withClient(cluster, (client) => {
        return client.put(latin1(Buffer.from(key)), Buffer.from(value));
      });
      return `OK, revision ${header?.revision}`;
    },
  },
  get: {
    words: "KEY",
    help: "reads, linearizably, at any node",
    run: async (cluster, words) => {
      const [key] = exactly(words, 1, "get KEY");
      const found = await withClient(cluster, (client) => client.get(latin1(Buffer.from(key))));
      return found === undefined ? "(not there)" : Buffer.from(found.value).toString();
    },
  },
  load: {
    words: "SECONDS",
    help: "writes and reads by eight clients that know all nodes",
    run: async (cluster, words) => await load(cluster, exactly(words, 1, "load SECONDS")[0]),
  },
  log: {
    words: "NODE",
    help: "the end of what it wrote",
    run: async (cluster, words) => {
      const member = await memberOf(cluster, exactly(words, 1, "log NODE")[0]);
      return member.process.log.trimEnd().split("\n").slice(-LOG_LINES).join("\n");
    },
  },
  help: { words: "", help: "this", run: async () => HELP },
  quit: {
    words: "",
    help: "ends all nodes (so does the end of the input)",
    run: async () => undefined,
  },
};

const HELP = [
  ...Object.entries(COMMANDS).map(([name, { words, help }]) => {
    return `  ${`${name} ${words}`.padEnd(16)}  ${help}`;
  }),
  'NODE is a number, "leader" or "follower".',
].join("\n");

/** Runs one line: what to show, or undefined when it was the last. */
export async function runLine(cluster: Cluster, line: string): Promise<string | undefined> {
  const [name = "", ...words] = line.trim().split(/\s+/);
  if (name === "" || name.startsWith("#")) return "";
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) throw new CommandError(`no command ${name}; "help" lists them`);
  if (command.words === "") exactly(words, 0, name);
  return await command.run(cluster, words);
}

/** A command that does something to one node, and says how long it took and who leads then. */
function change(help: string, apply: (cluster: Cluster, member: Member) => Promise<void>): Command {
  return {
    words: "NODE",
    help,
    run: async (cluster, words) => {
      const member = await memberOf(cluster, exactly(words, 1, "… NODE")[0]);
      const fromMs = performance.now();
      await apply(cluster, member);
      const tookMs = performance.now() - fromMs;
      return `${member.name}: done in ${tookMs.toFixed(0)} ms; ${await leaderLine(cluster)}`;
    },
  };
}

/** Waits for a leader if there can be one. */
async function leaderLine(cluster: Cluster): Promise<string> {
  if (cluster.up.length * 2 <= cluster.members.length) return "no majority is up: no leader";
  const fromMs = performance.now();
  const leader = await cluster.leader();
  const { term } = await leader.status();
  const tookMs = performance.now() - fromMs;
  return `${leader.name} leads in term ${term} (seen after ${tookMs.toFixed(0)} ms)`;
}

function exactly<Count extends number>(words: readonly string[], count: Count, usage: string) {
  if (words.length !== count) throw new CommandError(`it is said so: ${usage}`);
  return words as [string, string];
}

async function memberOf(cluster: Cluster, word: string): Promise<Member> {
  if (word === "leader") return await cluster.leader();
  if (word === "follower") return (await cluster.followers())[0] as Member;
  const found = cluster.members.find((member) => `${member.number}` === word);
  if (found !== undefined) return found;
  const numbers = cluster.members.map(({ number }) => number).join(", ");
  throw new CommandError(`no node ${word}: there are ${numbers}, leader and follower`);
}

async function withClient<T>(
  cluster: Cluster,
  use: (client: EtcdClient) => Promise<T>,
): Promise<T> {
  const endpoints = cluster.up.map(({ endpoint }) => endpoint);
  if (endpoints.length === 0) throw new CommandError("no node is up");
  const client = new EtcdClient({ endpoints, timeoutMs: CALL_MS_MAX });
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

async function load(cluster: Cluster, word: string): Promise<string> {
  const seconds = Number(word);
  if (!(seconds > 0 && seconds <= LOAD_SECONDS_MAX)) {
    throw new CommandError(`load SECONDS: more than 0, at most ${LOAD_SECONDS_MAX}`);
  }
  const { endpoints } = cluster;
  const running = new SteadyLoad({ endpoints, clients: LOAD_CLIENTS, tryMs: LOAD_TRY_MS });
  await Bun.sleep(seconds * 1000);
  await running.stop();
  const { written, retried, slowestMs, failures } = running;
  const rate = (written / seconds).toFixed(0);
  const summary = `${written} written and read back (${rate}/s), ${retried} tried again, slowest`;
  if (failures.length === 0) return `${summary} ${slowestMs.toFixed(0)} ms, none failed`;
  throw new Error(`${summary} ${slowestMs.toFixed(0)} ms; ${failures.length}: ${failures[0]}`);
}
