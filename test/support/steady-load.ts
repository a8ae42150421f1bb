/**
 * Clients that know every member and try again on UNAVAILABLE, as applications do: whatever else
 * goes wrong is a failed request. Each counts one key up, so that a lost or repeated write shows.
 */
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { GrpcError } from "../../src/client/grpc-error.ts";
import { GrpcCode } from "../../src/wire/grpc/status.ts";
import { until } from "./processes.ts";

/** A person would have given up. */
const TIMEOUT_MS = 10_000;
const RETRY_PAUSE_MS = 20;

export class SteadyLoad {
  readonly #clients: EtcdClient[];
  readonly #running: Promise<void>[];
  readonly failures: string[] = [];
  /** By key: what was acknowledged last. */
  readonly last = new Map<string, number>();
  #stopping = false;
  written = 0;
  retried = 0;
  slowestMs = 0;

  /** Starts at once. */
  constructor(endpoints: readonly string[], count: number) {
    this.#clients = Array.from({ length: count }, () => {
      return new EtcdClient({ endpoints, timeoutMs: TIMEOUT_MS });
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
    for (let count = 1; !this.#stopping; count++) {
      const fromMs = performance.now();
      await this.#until(async () => {
        await client.put(key, Buffer.from(`${count}`));
        this.last.set(key, count);
      });
      await this.#until(async () => {
        const found = Buffer.from((await client.get(key))?.value ?? []).toString();
        if (found !== `${count}`) this.failures.push(`${key} is ${found} after ${count}`);
      });
      this.written++;
      this.slowestMs = Math.max(this.slowestMs, performance.now() - fromMs);
    }
  }

  /** Again and again while the answer is UNAVAILABLE. */
  async #until(succeeds: () => Promise<void>): Promise<void> {
    const deadlineMs = performance.now() + TIMEOUT_MS;
    for (;;) {
      try {
        await succeeds();
        return;
      } catch (error) {
        if (!(error instanceof GrpcError)) throw error;
        const again = error.code === GrpcCode.UNAVAILABLE && performance.now() < deadlineMs;
        if (!again) {
          this.failures.push(`${error.codeName}: ${error.message}`);
          return;
        }
        this.retried++;
        await Bun.sleep(RETRY_PAUSE_MS);
      }
    }
  }
}
