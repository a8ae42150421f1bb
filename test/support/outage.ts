/**
 * How long a cluster takes no writes when something happens to its leader: the longest time
 * between two acknowledged writes, seen from clients of the other members.
 */
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { GrpcError } from "../../src/client/grpc-error.ts";
import type { Cluster } from "./cluster.ts";
import type { Member } from "./member.ts";
import { until } from "./processes.ts";

/** A write is sent anew after this: one that went to a dead leader never comes back. */
const TIMEOUT_MS = 100;
/** Writes are accepted again for so long before a strike is over. */
const CALM_MS = 100;
const KEY = "outage";
const VALUE = new Uint8Array(16);

class Writer {
  readonly #client: EtcdClient;
  readonly #running: Promise<void>;
  #stopped = false;

  constructor(endpoint: string, onWritten: () => void) {
    this.#client = new EtcdClient({ endpoints: [endpoint], timeoutMs: TIMEOUT_MS });
    this.#running = this.#run(onWritten);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    this.#client.close();
  }

  async #run(onWritten: () => void): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#client.put(KEY, VALUE);
        onWritten();
      } catch (error) {
        if (!(error instanceof GrpcError)) throw error; // else it is what is measured
      }
      await Bun.sleep(1);
    }
  }
}

/**
 * Strikes the leader while writes go to the others, and waits until another leads; milliseconds of
 * the longest pause from the strike on. The struck member is left as it is.
 */
export async function outageMs(
  cluster: Cluster,
  strike: (leader: Member) => Promise<void>,
): Promise<number> {
  const leader = await cluster.leader();
  let lastMs = Number.NEGATIVE_INFINITY;
  let fromMs = Number.POSITIVE_INFINITY;
  let longestMs = 0;
  const onWritten = (): void => {
    const nowMs = performance.now();
    if (nowMs > fromMs) longestMs = Math.max(longestMs, nowMs - Math.max(fromMs, lastMs));
    lastMs = nowMs;
  };
  const others = cluster.members.filter((member) => member !== leader);
  const writers = others.map(({ endpoint }) => new Writer(endpoint, onWritten));
  try {
    await until("writes are accepted", () => lastMs > 0);
    fromMs = performance.now();
    await strike(leader);
    await until("another leads", async () => {
      const next = await cluster.maybeLeader();
      return next !== undefined && next !== leader;
    });
    const electedMs = performance.now();
    await until("writes are accepted again", () => lastMs > electedMs + CALM_MS);
    return longestMs;
  } finally {
    await Promise.all(writers.map((writer) => writer.stop()));
  }
}
