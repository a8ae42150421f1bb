/**
 * Clients that know every member and try again on UNAVAILABLE, as applications do: whatever else
 * goes wrong is a failed request. Each counts one key up by a transaction that compares, so that
 * trying again is safe, and a lost, repeated or late write shows.
 */
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { GrpcError } from "../../src/client/grpc-error.ts";
import {
  Compare,
  CompareResult,
  CompareTarget,
  PutRequest,
  RangeRequest,
  RequestOp,
} from "../../src/proto/gen/etcdserverpb.ts";
import { GrpcCode } from "../../src/wire/grpc/status.ts";
import { until } from "./processes.ts";

/** A person would have given up. */
const TIMEOUT_MS = 10_000;
const RETRY_PAUSE_MS = 20;

export interface SteadyLoadOptions {
  readonly endpoints: readonly string[];
  readonly clients: number;
  /** A request that takes longer is sent anew, maybe to another member; left out: it has failed. */
  readonly tryMs?: number;
}

export class SteadyLoad {
  readonly #clients: EtcdClient[];
  readonly #running: Promise<void>[];
  readonly #isPatient: boolean;
  readonly failures: string[] = [];
  /** By key: what was acknowledged last. */
  readonly last = new Map<string, number>();
  #stopping = false;
  written = 0;
  retried = 0;
  slowestMs = 0;

  /** Starts at once. */
  constructor({ endpoints, clients, tryMs }: SteadyLoadOptions) {
    this.#isPatient = tryMs === undefined;
    this.#clients = Array.from({ length: clients }, () => {
      return new EtcdClient({ endpoints, timeoutMs: tryMs ?? TIMEOUT_MS });
    });
    this.#running = this.#clients.map((client, i) => this.#run(client, `steady/${i}`));
  }

  /** Waits until so many more writes were acknowledged. */
  async more(count: number): Promise<void> {
    const enough = this.written + count;
    await until(`${count} more writes`, () => this.written >= enough);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
    for (const client of this.#clients) client.close();
  }

  async #run(client: EtcdClient, key: string): Promise<void> {
    let count = await this.#found(client, key);
    while (!this.#stopping) {
      const fromMs = performance.now();
      const next = count + 1;
      const isWritten = await this.#until(() => countUp(client, key, next));
      count = await this.#found(client, key);
      if (!isWritten) continue; // it may have happened
      this.last.set(key, next);
      if (count !== next) this.failures.push(`${key} is ${count} after ${next}`);
      this.written++;
      this.slowestMs = Math.max(this.slowestMs, performance.now() - fromMs);
    }
  }

  async #found(client: EtcdClient, key: string): Promise<number> {
    let found = Number.NaN;
    await this.#until(async () => {
      found = Number(Buffer.from((await client.get(key))?.value ?? []).toString());
    });
    return found;
  }

  /** Again and again while the answer is UNAVAILABLE; false if it failed. */
  async #until(succeeds: () => Promise<void>): Promise<boolean> {
    const deadlineMs = performance.now() + TIMEOUT_MS;
    for (;;) {
      try {
        await succeeds();
        return true;
      } catch (error) {
        if (!(error instanceof GrpcError)) throw error;
        const isLate = error.code === GrpcCode.DEADLINE_EXCEEDED && !this.#isPatient;
        const again = error.code === GrpcCode.UNAVAILABLE || isLate;
        if (!again || performance.now() > deadlineMs) {
          this.failures.push(`${error.codeName}: ${error.message}`);
          return false;
        }
        this.retried++;
        await Bun.sleep(RETRY_PAUSE_MS);
      }
    }
  }
}

/** Writes `count` if the number before it is there; throws unless it is there afterwards. */
async function countUp(client: EtcdClient, key: string, count: number): Promise<void> {
  const before =
    count === 1
      ? { target: CompareTarget.CREATE, createRevision: 0 }
      : { target: CompareTarget.VALUE, value: Buffer.from(`${count - 1}`) };
  const compare = Compare.create({ key, result: CompareResult.EQUAL, ...before });
  const value = Buffer.from(`${count}`);
  const put = RequestOp.create({ requestPut: PutRequest.create({ key, value }) });
  const get = RequestOp.create({ requestRange: RangeRequest.create({ key }) });
  const { succeeded, responses } = await client.txn([compare], [put], [get]);
  const found = Buffer.from(responses[0]?.responseRange?.kvs[0]?.value ?? []).toString();
  if (succeeded || found === `${count}`) return; // else an earlier try has done it
  throw new GrpcError(GrpcCode.ABORTED, `${key} is ${found}, neither ${count - 1} nor ${count}`);
}
