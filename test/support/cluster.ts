/**
 * A cluster of real processes: etcd or our own executable, by the same flags, on this machine.
 *
 *   await withCluster({ kind: "aether", size: 3, network: "proxied" }, async (cluster) => {
 *     const leader = await cluster.leader();
 *     await leader.kill();
 *     …
 *   });
 *
 * Members are numbered from 1. Each has a directory, ports and a log of its own; all end with the
 * cluster, by their own pids, also when the test fails, and then their logs are kept and named.
 */
import { createServer } from "node:net";
import {
  Cluster as ClusterService,
  KV,
  Maintenance,
  MemberListRequest,
  type Member as MemberRecord,
} from "../../src/proto/gen/etcdserverpb.ts";
import { Member, type MemberStatus } from "./member.ts";
import {
  type ClusterKind,
  EXECUTABLES,
  type Form,
  MEMBER_ENVIRONMENT,
  type MemberConfig,
  memberKind,
} from "./member-command.ts";
import { Loopback, Namespaced, type PeerNetwork, Proxied } from "./peer-network.ts";
import { requireExecutable, ServerProcess, until } from "./processes.ts";

/** Who takes longer is left out of the picture for now, and asked again soon. */
const STATUS_MS_MAX = 500;
/** Changes need a leader, and a majority that writes them down. */
const CHANGE_MS_MAX = 10_000;
/** Elections, restarts and repairs on a machine that is busy with other work. */
const SETTLE_MS_MAX = 30_000;
const POLL_MS = 100;
/** Reasons that pass. etcd changes members only after all were connected for five seconds. */
const NOT_NOW = /unhealthy cluster|in sync with leader|timed out|leader changed|no leader/;
const START_ATTEMPTS_MAX = 4;
/** Where our ports are: below those that the kernel gives to outgoing connections, which could
 * take a port while its member is down, or even connect to themselves there. */
const PORTS = { first: 12_000, count: 20_000 } as const;

export interface ClusterOptions {
  readonly kind: ClusterKind;
  /** Another one of that kind than usual: a newer etcd, above all. */
  readonly executable?: string;
  readonly size: number;
  /** Loopback if left out; proxies or namespaces can be cut. */
  readonly network?: "loopback" | "proxied" | "namespaces";
  readonly heartbeatMs?: number;
  readonly electionMs?: number;
  readonly snapshotCount?: number;
  /** etcd's and our own check of membership changes, off if left out. */
  readonly strict?: boolean;
  /** Of ours: by flags if left out. By file there is one port for clients and members. */
  readonly form?: Form;
  readonly seed?: number;
  /** Of ours: more variables (settings, above all) for the member of this number. */
  readonly environmentOf?: (number: number) => Readonly<Record<string, string>>;
  /** Loopback ports from here on, two a member; any free ones if left out. */
  readonly firstPort?: number;
}

export class Cluster implements AsyncDisposable {
  readonly options: ClusterOptions;
  readonly network: PeerNetwork;
  readonly members: Member[] = [];
  readonly #token = `token-${process.pid}-${performance.now()}`;

  private constructor(options: ClusterOptions) {
    this.options = options;
    this.network = networkFor(options);
  }

  /** Starts all members at once and waits until a leader is known. Dispose of it. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    await requireExecutable(options.executable ?? EXECUTABLES[options.kind]);
    for (let attempt = 1; ; attempt++) {
      const cluster = new Cluster(options);
      try {
        await cluster.#found();
        return cluster;
      } catch (error) {
        const portTaken = /address already in use|EADDRINUSE/i.test(cluster.logs());
        const isGiven = options.firstPort !== undefined;
        const again = portTaken && !isGiven && attempt < START_ATTEMPTS_MAX;
        if (!again) cluster.keep();
        await cluster[Symbol.asyncDispose]();
        if (!again) throw error;
      }
    }
  }

  /** By number, from 1. */
  member(number: number): Member {
    const found = this.members.find((member) => member.number === number);
    if (found === undefined) throw new Error(`no member ${number}`);
    return found;
  }

  get endpoints(): string[] {
    return this.members.map(({ endpoint }) => endpoint);
  }

  get up(): Member[] {
    return this.members.filter(({ isUp }) => isUp);
  }

  /** The proxies, if the cluster was started with them. */
  get proxies(): Proxied {
    if (!(this.network instanceof Proxied)) throw new Error("the cluster has no proxies");
    return this.network;
  }

  /** What each member that is up says; those that do not answer are left out. */
  async statuses(): Promise<MemberStatus[]> {
    const asked = await Promise.allSettled(this.up.map((member) => member.status(STATUS_MS_MAX)));
    return asked.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  }

  /** The leader that a majority of the voters agrees on right now, and it with them. */
  async maybeLeader(): Promise<Member | undefined> {
    const statuses = await this.statuses();
    const term = Math.max(0, ...statuses.map((each) => each.term));
    const current = statuses.filter((each) => each.term === term && !each.isLearner);
    const leader = current.find(({ id, leader }) => id === leader);
    const followers = current.filter((each) => each.leader === leader?.id);
    return followers.length * 2 > this.members.length ? leader?.member : undefined;
  }

  /** Waits for a leader. */
  async leader(msMax = SETTLE_MS_MAX): Promise<Member> {
    let found: Member | undefined;
    await until(
      "a leader is known to a majority",
      async () => {
        found = await this.maybeLeader();
        return found !== undefined;
      },
      msMax,
    );
    return found as Member;
  }

  /** Those which do not lead, in the order of their numbers. */
  async followers(): Promise<Member[]> {
    const leader = await this.leader();
    return this.members.filter((member) => member !== leader);
  }

  /** The records of the members, as `at` knows them. */
  async records(at?: Member): Promise<readonly MemberRecord[]> {
    const asked = at ?? (await this.leader());
    return (await asked.ask(ClusterService.MemberList, MemberListRequest.create())).members;
  }

  /** Adds a member by the API, starts it, and waits until it serves. */
  async add(options: { learner?: boolean } = {}): Promise<Member> {
    const newcomer = await this.newcomer();
    const { peerUrl } = newcomer;
    const request = { peerURLs: [peerUrl], isLearner: options.learner === true };
    const members = await this.#change(
      (leader) => leader.ask(ClusterService.MemberAdd, request, CHANGE_MS_MAX),
      (records) => records.some(({ peerURLs }) => peerURLs.includes(peerUrl)),
    );
    // The new member has no name in its record yet: its peer URL tells which one it is.
    const known = members.map(({ name, peerURLs: [url = ""] }) => {
      return `${url === peerUrl ? newcomer.name : name}=${url}`;
    });
    return await this.join(newcomer, known.join(","));
  }

  /** The next number, with ports; no member yet. */
  async newcomer(): Promise<Newcomer> {
    const number = Math.max(...this.members.map((each) => each.number)) + 1;
    const [ports] = (await this.#freePorts(1)) as [MemberPorts];
    const peerUrl = `http://${this.network.advertised(number, ports.peer)}`;
    return { number, name: nameOf(this.options, number), peerUrl, ports };
  }

  /** Starts a member that was added, with the members as `member add` said, until it serves. */
  async join({ number, ports }: Newcomer, initialCluster: string): Promise<Member> {
    const initial = initialCluster.split(",").map((entry) => {
      const [name = "", url = ""] = entry.split("=");
      return { number: Number(/\d+$/.exec(name)), name, peer: url.replace("http://", "") };
    });
    const member = this.#create(number, { ...ports, initial, state: "existing" });
    await member.restart();
    return member;
  }

  /** Removes a member by the API; its process is left alone. */
  async remove(id: bigint): Promise<void> {
    await this.#change(
      (leader) => leader.ask(ClusterService.MemberRemove, { ID: id }, CHANGE_MS_MAX),
      (records) => records.every(({ ID }) => ID !== id),
    );
  }

  /** Makes a learner a voter, once it has caught up. */
  async promote(id: bigint): Promise<void> {
    await this.#change(
      (leader) => leader.ask(ClusterService.MemberPromote, { ID: id }, CHANGE_MS_MAX),
      (records) => records.some(({ ID, isLearner }) => ID === id && !isLearner),
    );
  }

  /** The cluster counts it no more among its members, and ends its process. */
  async forget(member: Member): Promise<void> {
    this.members.splice(this.members.indexOf(member), 1);
    await member.process[Symbol.asyncDispose]();
  }

  async moveLeader(to: Member): Promise<void> {
    const [leader, target] = await Promise.all([this.leader(), to.status()]);
    await leader.ask(Maintenance.MoveLeader, { targetID: target.id }, CHANGE_MS_MAX);
  }

  /** Waits until every member has applied what the leader has, and returns the hash at each. */
  async hashes(): Promise<{ revision: number; hashes: number[] }> {
    const leader = await this.leader();
    const read = { key: "\0", countOnly: true };
    const { header } = await leader.ask(KV.Range, read, CHANGE_MS_MAX);
    const revision = header?.revision ?? 0;
    await until(`all have revision ${revision}`, async () => {
      const statuses = await this.statuses();
      const done = statuses.filter((status) => status.revision >= revision);
      return done.length === this.members.length;
    });
    const asked = this.members.map((each) =>
      each.ask(Maintenance.HashKV, { revision }, CHANGE_MS_MAX),
    );
    return { revision, hashes: (await Promise.all(asked)).map(({ hash }) => hash) };
  }

  /** Everything that the members wrote. */
  logs(): string {
    return this.members.map(({ process }) => process.log).join("\n");
  }

  /** Data and logs stay on disk. */
  keep(): void {
    for (const { process } of this.members) process.keep();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map(({ process }) => process[Symbol.asyncDispose]()));
    this.network[Symbol.dispose]();
  }

  async #found(): Promise<void> {
    const { size } = this.options;
    const ports = await this.#freePorts(size);
    const initial = ports.map(({ peer }, i) => {
      const address = this.network.advertised(i + 1, peer);
      return { number: i + 1, name: nameOf(this.options, i + 1), peer: address };
    });
    for (const [i, both] of ports.entries()) {
      this.#create(i + 1, { ...both, initial, state: "new" });
    }
    await Promise.all(this.members.map((member) => member.restart()));
    await this.leader();
  }

  /** Asks the leader for a change until it is done, whichever of the answers was lost. */
  async #change(
    ask: (leader: Member) => Promise<unknown>,
    isDone: (records: readonly MemberRecord[]) => boolean,
  ): Promise<readonly MemberRecord[]> {
    const deadlineMs = performance.now() + SETTLE_MS_MAX;
    for (;;) {
      const failure = await ask(await this.leader()).then(
        () => undefined,
        (error: Error) => error,
      );
      const records = await this.records();
      if (isDone(records)) return records;
      const passes = failure !== undefined && NOT_NOW.test(failure.message);
      if (!passes || performance.now() > deadlineMs) throw failure ?? new Error("nothing changed");
      await Bun.sleep(POLL_MS);
    }
  }

  /** By file a member has one port for everybody. */
  async #freePorts(members: number): Promise<MemberPorts[]> {
    const { firstPort } = this.options;
    const ports =
      firstPort === undefined
        ? await freePorts(2 * members)
        : Array.from({ length: 2 * members }, (_, i) => firstPort + 2 * this.members.length + i);
    return Array.from({ length: members }, (_, i) => {
      const [client, peer] = [ports[2 * i], ports[2 * i + 1]] as [number, number];
      return { client, peer: this.options.form === "file" ? client : peer };
    });
  }

  #create(
    number: number,
    { client, peer, initial, state }: Pick<MemberConfig, "initial" | "state"> & MemberPorts,
  ): Member {
    const {
      kind,
      heartbeatMs = 100,
      electionMs = 1000,
      snapshotCount,
      environmentOf,
    } = this.options;
    const host = this.network.hostOf(number);
    const config: MemberConfig = {
      ...{ number, initial, state, token: this.#token, heartbeatMs, electionMs, snapshotCount },
      name: nameOf(this.options, number),
      clientAddress: `${host}:${client}`,
      peerAddress: `${host}:${peer}`,
      advertisedPeerAddress: this.network.advertised(number, peer),
      strict: this.options.strict === true,
      form: this.options.form ?? "flags",
      prefix: this.network.prefixOf(number),
      executable: this.options.executable ?? EXECUTABLES[kind],
    };
    const server = ServerProcess.idle(memberKind(kind, config), {
      port: client,
      ...(kind === "aether" && {
        env: { ...MEMBER_ENVIRONMENT, ...environmentOf?.(number) },
      }),
    });
    const onStarted = (pid: number): void => this.network.onStarted(number, pid);
    const member = new Member(config, server, onStarted);
    this.members.push(member);
    return member;
  }
}

/** Who is to become a member. */
export interface Newcomer {
  readonly number: number;
  readonly name: string;
  readonly peerUrl: string;
  readonly ports: MemberPorts;
}

interface MemberPorts {
  readonly client: number;
  readonly peer: number;
}

/** Runs a test with a cluster; when it fails, the logs are kept and the error says where. */
export async function withCluster<T>(
  options: ClusterOptions,
  body: (cluster: Cluster) => Promise<T>,
): Promise<T> {
  await using cluster = await Cluster.start(options);
  try {
    return await body(cluster);
  } catch (cause) {
    cluster.keep();
    const logs = cluster.members.map(({ name, process }) => `${name}: ${process.logPath}`);
    throw new Error(`${(cause as Error).message}\nlogs are kept:\n${logs.join("\n")}`, { cause });
  }
}

/**
 * The kinds of cluster that the tests of this run are for: CLUSTER_KINDS=etcd,aether asks for both.
 * Our own alone by default; etcd shows that a test is right.
 */
export function kindsUnderTest(): readonly ClusterKind[] {
  const asked = (process.env["CLUSTER_KINDS"] ?? "aether").split(",");
  const isKind = (word: string): word is ClusterKind => word in EXECUTABLES;
  const unknown = asked.find((word) => !isKind(word));
  if (unknown !== undefined)
    throw new Error(`CLUSTER_KINDS: ${unknown} is neither etcd nor aether`);
  return asked.filter(isKind);
}

function networkFor({ network = "loopback", size, seed = 1 }: ClusterOptions): PeerNetwork {
  if (network === "loopback") return new Loopback();
  return network === "proxied" ? new Proxied(seed) : new Namespaced(size + SPARE_HOSTS);
}

/** For members that are added later. */
const SPARE_HOSTS = 2;

/** By file a member is named after its number. */
function nameOf({ form }: ClusterOptions, number: number): string {
  return form === "file" ? `node-${number}` : `m${number}`;
}

/** So many different ports of loopback that nobody listens on right now. */
export async function freePorts(count: number): Promise<number[]> {
  const found: number[] = [];
  let candidate = PORTS.first + Math.floor(Math.random() * PORTS.count);
  while (found.length < count) {
    candidate = candidate + 1 < PORTS.first + PORTS.count ? candidate + 1 : PORTS.first;
    if (await isFree(candidate)) found.push(candidate);
  }
  return found;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
