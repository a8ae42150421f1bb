/**
 * Clients on all members of a cluster, some on each, and a watch on each: they send what the mix
 * draws, one request at a time, and everything is written down as one history.
 */
import type { Prng } from "../../src/base/prng.ts";
import { type History, merge, Recorder } from "../check/history.ts";
import { RequestMix } from "../check/request-mix.ts";
import { operationsOf, type Request } from "../check/requests.ts";
import type { Cluster } from "../support/cluster.ts";
import type { ClusterKind } from "../support/member-command.ts";
import { until } from "../support/processes.ts";
import { RecordingClient } from "./recording-client.ts";
import { RecordingWatch } from "./recording-watch.ts";

const KEYS = 10;
/** Whole seconds, some so short that leases run out during the run. */
const TTL_SECONDS = [2, 3, 60] as const;
/** A request that takes longer has an unknown outcome, and its client goes on. */
const TIMEOUT_MS = 400;
/** After a failure: a member that is down fails at once. */
const FAILED_PAUSE_MS = 50;

export interface WorkloadOptions {
  readonly clientsPerMember: number;
  /** Between two requests of a client, on average. */
  readonly pauseMs: number;
}

export class Workload {
  readonly #options: WorkloadOptions;
  readonly #kind: ClusterKind;
  readonly #prng: Prng;
  readonly #mix: RequestMix;
  readonly #recorders: Recorder[] = [];
  readonly #clients: RecordingClient[] = [];
  readonly #watches: RecordingWatch[] = [];
  #running: Promise<void>[] = [];
  #stopping = false;
  #revision = 1;
  answered = 0;

  /** Starts at once. */
  constructor(cluster: Cluster, prng: Prng, options: WorkloadOptions) {
    this.#options = options;
    this.#kind = cluster.options.kind;
    this.#prng = prng;
    this.#mix = new RequestMix(prng, KEYS, "whole");
    for (const { endpoint, number } of cluster.members) {
      for (let i = 0; i < options.clientsPerMember; i++) this.#client(endpoint, `m${number}c${i}`);
      this.#watches.push(new RecordingWatch(endpoint, this.#recorder(`m${number}w`)));
    }
    this.#running = this.#clients.map((client) => this.#run(client));
  }

  /**
   * Ends the load, reads everything once more through each client, and waits until the watches
   * were told of it. The cluster must be healthy again.
   */
  async finish(): Promise<History> {
    this.#stopping = true;
    await Promise.all(this.#running);
    for (const client of this.#clients) await this.#readAll(client);
    const revision = this.#revision;
    await until(`every watch has seen revision ${revision}`, () => {
      return this.#watches.every((watch) => watch.revision >= revision);
    });
    await this.close();
    return merge(this.#recorders.map((recorder) => recorder.history()));
  }

  /** Ends everything, finished or not. */
  async close(): Promise<void> {
    this.#stopping = true;
    for (const client of this.#clients) client.close();
    await Promise.all([...this.#running, ...this.#watches.map((watch) => watch.stop())]);
  }

  #recorder(name: string): Recorder {
    const recorder = new Recorder(name, () => performance.now());
    this.#recorders.push(recorder);
    return recorder;
  }

  #client(endpoint: string, name: string): void {
    this.#clients.push(new RecordingClient(endpoint, this.#recorder(name), TIMEOUT_MS));
  }

  async #run(client: RecordingClient): Promise<void> {
    while (!this.#stopping) {
      const succeeded = await this.#one(client, this.#next());
      const { pauseMs } = this.#options;
      await Bun.sleep(succeeded ? this.#prng.below(2 * pauseMs) : FAILED_PAUSE_MS);
    }
  }

  #next(): Request {
    let request = this.#mix.next(this.#revision);
    while (isLeftOut(request, this.#kind)) request = this.#mix.next(this.#revision);
    if (request.kind !== "grant") return request;
    return { ...request, ttlSeconds: this.#prng.pick(TTL_SECONDS) };
  }

  async #one(client: RecordingClient, request: Request): Promise<boolean> {
    const answer = await client.send(request);
    if (answer === undefined) return false;
    this.answered++;
    this.#mix.saw(request, answer);
    if ("revision" in answer) this.#revision = Math.max(this.#revision, answer.revision ?? 0);
    return true;
  }

  /** Its client may have to find its member again. */
  async #readAll(client: RecordingClient): Promise<void> {
    await until("everything is read at the end", () => {
      return this.#one(client, this.#mix.everything());
    });
  }
}

/**
 * Requests for which less is given than one might think. A transaction without operations is
 * answered from the member's own state, by etcd's rule, and that may be stale. In etcd a watch that
 * begins at a compacted revision misses that revision if it is a deletion (its issue 19179).
 */
function isLeftOut(request: Request, kind: ClusterKind): boolean {
  const isEmpty = request.kind === "txn" && operationsOf(request).length === 0;
  return isEmpty || (kind === "etcd" && request.kind === "compact");
}
