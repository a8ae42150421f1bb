/**
 * What can happen to a cluster. Each fault does its damage, lasts for a while, and repairs what no
 * cluster can repair by itself (a process that ended, a pulled cable); what is left to the cluster
 * is to be healthy again, which is waited for after each fault.
 */
import type { Prng } from "../../src/base/prng.ts";
import { GrpcError } from "../../src/client/grpc-error.ts";
import type { Cluster } from "../support/cluster.ts";
import type { Member } from "../support/member.ts";
import type { Way } from "../support/netns.ts";

export interface Fault {
  readonly name: string;
  /** `electionMs` long things last some of. */
  run(scene: Scene): Promise<void>;
}

export interface Scene {
  readonly cluster: Cluster;
  readonly prng: Prng;
  readonly electionMs: number;
}

/** How long a fault lasts: from too short to be noticed to long enough for an election. */
function lasting({ prng, electionMs }: Scene): Promise<void> {
  return Bun.sleep(electionMs * (0.2 + 2.8 * prng.unit()));
}

async function followerOf({ cluster, prng }: Scene): Promise<Member> {
  return prng.pick(await cluster.followers());
}

/** Less than half, at least one, the leader among them. */
async function minorityOf({ cluster, prng }: Scene): Promise<Member[]> {
  const leader = await cluster.leader();
  const others = cluster.members.filter((member) => member !== leader);
  const count = 1 + prng.below(Math.ceil(cluster.members.length / 2) - 1);
  return [leader, ...shuffled(others, prng).slice(0, count - 1)];
}

function shuffled<T>(items: readonly T[], prng: Prng): T[] {
  const left = [...items];
  return items.map(() => left.splice(prng.below(left.length), 1)[0] as T);
}

async function killAndRestart(scene: Scene, victims: readonly Member[]): Promise<void> {
  await Promise.all(victims.map((victim) => victim.kill()));
  await lasting(scene);
  await Promise.all(victims.map((victim) => victim.restart()));
}

async function pauseAndResume(scene: Scene, victims: readonly Member[]): Promise<void> {
  for (const victim of victims) victim.pause();
  await lasting(scene);
  for (const victim of victims) victim.resume();
}

function expectRefusal(error: unknown): void {
  if (!(error instanceof GrpcError)) throw error;
}

/** Entries that the others write while a member counts as away, and how long that may take. */
const BEHIND = { entries: 150, msMax: 5000 } as const;
/** Election timeouts of silence after which nobody keeps the log for a member. */
const AWAY_ELECTIONS = 4;

/** Waits until whoever is away now cannot catch up by the log alone. */
async function untilBehind({ cluster, electionMs }: Scene): Promise<void> {
  await Bun.sleep(AWAY_ELECTIONS * electionMs);
  const leader = await cluster.leader();
  const { index } = await leader.status();
  const endMs = performance.now() + BEHIND.msMax;
  const isBehind = async (): Promise<boolean> => {
    return (await leader.status()).index > index + BEHIND.entries;
  };
  while (!(await isBehind()) && performance.now() < endMs) await Bun.sleep(50);
}

const PROCESS_FAULTS: readonly Fault[] = [
  {
    name: "kill the leader",
    run: async (scene) => killAndRestart(scene, [await scene.cluster.leader()]),
  },
  {
    name: "kill a follower",
    run: async (scene) => killAndRestart(scene, [await followerOf(scene)]),
  },
  {
    name: "kill a minority with the leader",
    run: async (scene) => killAndRestart(scene, await minorityOf(scene)),
  },
  {
    name: "kill all at once",
    run: async (scene) => {
      const { members } = scene.cluster;
      await Promise.all(members.map((member) => member.kill()));
      await Promise.all(shuffled(members, scene.prng).map((member) => member.restart()));
    },
  },
  {
    name: "kill the leader while it starts again",
    run: async ({ cluster, prng }) => {
      const leader = await cluster.leader();
      await leader.kill();
      await leader.launch();
      await Bun.sleep(prng.below(120)); // about the time from exec to serving
      await leader.kill();
      await leader.restart();
    },
  },
  {
    name: "pause the leader",
    run: async (scene) => pauseAndResume(scene, [await scene.cluster.leader()]),
  },
  {
    name: "pause a follower",
    run: async (scene) => pauseAndResume(scene, [await followerOf(scene)]),
  },
  {
    name: "pause all at once",
    run: (scene) => pauseAndResume(scene, scene.cluster.members),
  },
  {
    name: "a follower is down until it needs a copy",
    run: async (scene) => {
      const follower = await followerOf(scene);
      await follower.kill();
      await untilBehind(scene);
      await follower.restart();
    },
  },
  {
    name: "a member comes and goes",
    run: async ({ cluster, prng }) => {
      const learner = prng.chance(50);
      const added = await cluster.add({ learner });
      const { id } = await added.status();
      if (learner) await cluster.promote(id);
      // Whether it takes over in time is no matter: then another leader is asked.
      if (prng.chance(50)) await cluster.moveLeader(added).catch(expectRefusal);
      await cluster.remove(id);
      await added.process.ended();
      await cluster.forget(added);
    },
  },
  {
    name: "ask the leader to stop",
    run: async (scene) => {
      const leader = await scene.cluster.leader();
      await leader.stop();
      await lasting(scene);
      await leader.restart();
    },
  },
];

function ways(from: readonly Member[], to: readonly Member[]): Way[] {
  return from.flatMap((one) => {
    const others = to.filter((other) => other !== one);
    return others.map((other) => ({ from: one.number, to: other.number }));
  });
}

function bothWays(some: readonly Member[], others: readonly Member[]): Way[] {
  return [...ways(some, others), ...ways(others, some)];
}

async function cutFor(scene: Scene, cut: readonly Way[]): Promise<void> {
  scene.cluster.network.cut(cut);
  await lasting(scene);
  scene.cluster.network.cut([]);
}

/** Need a network that can be cut. */
const PARTITIONS: readonly Fault[] = [
  {
    name: "a follower is cut off until it needs a copy",
    run: async (scene) => {
      const { cluster } = scene;
      const follower = await followerOf(scene);
      const others = cluster.members.filter((member) => member !== follower);
      cluster.network.cut(bothWays([follower], others));
      await untilBehind(scene);
      cluster.network.cut([]);
    },
  },
  {
    name: "cut the leader off",
    run: async (scene) => {
      const leader = await scene.cluster.leader();
      await cutFor(scene, bothWays([leader], await scene.cluster.followers()));
    },
  },
  {
    name: "cut a minority with the leader off",
    run: async (scene) => {
      const minority = await minorityOf(scene);
      const others = scene.cluster.members.filter((member) => !minority.includes(member));
      await cutFor(scene, bothWays(minority, others));
    },
  },
  {
    name: "cut all from all",
    run: (scene) => cutFor(scene, ways(scene.cluster.members, scene.cluster.members)),
  },
  {
    name: "nothing arrives at the leader",
    run: async (scene) => {
      const leader = await scene.cluster.leader();
      await cutFor(scene, ways(await scene.cluster.followers(), [leader]));
    },
  },
  {
    name: "nothing arrives from the leader",
    run: async (scene) => {
      const leader = await scene.cluster.leader();
      await cutFor(scene, ways([leader], await scene.cluster.followers()));
    },
  },
  {
    // Cloudflare 2020: two that cannot reach each other, and a third that reaches both.
    name: "cut the leader from one follower",
    run: async (scene) => {
      const leader = await scene.cluster.leader();
      await cutFor(scene, bothWays([leader], [await followerOf(scene)]));
    },
  },
  {
    name: "a ring",
    run: async (scene) => {
      const ring = shuffled(scene.cluster.members, scene.prng);
      const next = (i: number): Member => ring[(i + 1) % ring.length] as Member;
      const open = new Set(ring.map((member, i) => `${member.number}>${next(i).number}`));
      const cut = ways(ring, ring).filter(({ from, to }) => !open.has(`${from}>${to}`));
      await cutFor(scene, cut);
    },
  },
  {
    name: "cut cables one by one, and mend them in another order",
    run: async (scene) => {
      const { cluster, prng, electionMs } = scene;
      let cut = shuffled(ways(cluster.members, cluster.members), prng);
      for (let count = 1; count <= cut.length; count++) {
        cluster.network.cut(cut.slice(0, count));
        await Bun.sleep((electionMs * prng.unit()) / cut.length);
      }
      cut = shuffled(cut, prng);
      while (cut.pop() !== undefined) {
        cluster.network.cut(cut);
        await Bun.sleep((electionMs * prng.unit()) / cluster.members.length);
      }
    },
  },
];

async function badFor(scene: Scene, damage: () => void): Promise<void> {
  damage();
  await lasting(scene);
  scene.cluster.proxies.heal();
}

/** Need proxies. */
const BAD_NETWORKS: readonly Fault[] = [
  {
    name: "everything is late",
    run: (scene) =>
      badFor(scene, () => {
        const { electionMs, cluster } = scene;
        for (const { from, to } of ways(cluster.members, cluster.members)) {
          // etcd's suite: 75 ± 50 ms at an election timeout of a second.
          const conditions = { delayMs: electionMs * 0.025, jitterMs: electionMs * 0.1 };
          cluster.proxies.direction(from, to).set(conditions);
        }
      }),
  },
  {
    name: "the leader's cables are narrow",
    run: async (scene) => {
      const leader = await scene.cluster.leader();
      const narrow = bothWays([leader], await scene.cluster.followers());
      await badFor(scene, () => {
        for (const { from, to } of narrow) {
          scene.cluster.proxies.direction(from, to).set({ bytesPerSecond: 20_000 });
        }
      });
    },
  },
  {
    name: "nobody reads what the leader sends",
    run: async (scene) => {
      const leader = await scene.cluster.leader();
      const stalled = ways([leader], await scene.cluster.followers());
      await badFor(scene, () => {
        for (const { from, to } of stalled) {
          scene.cluster.proxies.direction(from, to).set({ stalled: true });
        }
      });
    },
  },
  {
    name: "connections are broken off again and again",
    run: async ({ cluster, prng, electionMs }) => {
      for (let i = 0; i < 10; i++) {
        const [one, other] = shuffled(cluster.members, prng) as [Member, Member];
        cluster.proxies.reset(one.number, other.number);
        await Bun.sleep((electionMs / 5) * prng.unit());
      }
    },
  },
];

/** Only for who checks what came over the wire: etcd believes every byte. */
const LIES: readonly Fault[] = [
  {
    name: "bits are turned over",
    run: async ({ cluster, prng, electionMs }) => {
      for (let i = 0; i < 10; i++) {
        const { from, to } = prng.pick(ways(cluster.members, cluster.members));
        cluster.proxies.direction(from, to).flipBit();
        await Bun.sleep((electionMs / 5) * prng.unit());
      }
      cluster.proxies.heal();
    },
  },
];

/** The faults that this cluster can be put to. */
export function faultsFor({ kind, network = "loopback" }: Cluster["options"]): readonly Fault[] {
  if (network === "loopback") return PROCESS_FAULTS;
  const cuts = [...PROCESS_FAULTS, ...PARTITIONS];
  if (network === "namespaces") return cuts;
  return [...cuts, ...BAD_NETWORKS, ...(kind === "aether" ? LIES : [])];
}
