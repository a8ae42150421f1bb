/**
 * A large range does not delay other clients' requests: the server cuts it in slices. Measured
 * from outside, beside a quiet phase of the same length, which shows what of it is the machine.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { GrpcJsClient } from "../support/grpc-js.ts";
import { startAether, until } from "../support/processes.ts";

const KEYS = 100_000;
const VALUE_BYTES = 256;
const KEYS_PER_TXN = 100;
const TXNS_IN_FLIGHT = 20;
/** Large ranges to measure beside. */
const RANGES = 20;
const PHASE_MS_MAX = 20_000;
/** What a large range may add to a small request. */
const DELAY_MS_MAX = 20;
const TEST_MS_MAX = 90_000;

const key = (index: number): Buffer => Buffer.from(`key/${String(index).padStart(8, "0")}`);

async function fill(client: GrpcJsClient): Promise<void> {
  const value = Buffer.alloc(VALUE_BYTES, "v");
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < KEYS) {
      const from = next;
      next += KEYS_PER_TXN;
      const success = Array.from({ length: KEYS_PER_TXN }, (_, index) => ({
        requestPut: { key: key(from + index), value },
      }));
      await client.unary("etcdserverpb.KV/Txn", { success });
    }
  };
  await Promise.all(Array.from({ length: TXNS_IN_FLIGHT }, work));
}

/** Milliseconds of small requests, one at a time, until `enough`. */
class Prober {
  readonly getsMs: number[] = [];
  readonly putsMs: number[] = [];

  async run(client: GrpcJsClient, enough: () => boolean): Promise<void> {
    const value = Buffer.from("v");
    for (let index = 0; !enough(); index = (index + 7919) % KEYS) {
      this.getsMs.push(await timed(client.unary("etcdserverpb.KV/Range", { key: key(index) })));
      const put = client.unary("etcdserverpb.KV/Put", { key: key(index), value });
      this.putsMs.push(await timed(put));
    }
  }
}

async function timed(call: Promise<unknown>): Promise<number> {
  const fromMs = performance.now();
  await call;
  return performance.now() - fromMs;
}

interface Figures {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly worst: number;
}

function figuresOf(ms: readonly number[]): Figures {
  const sorted = [...ms].sort((a, b) => a - b);
  const at = (part: number) => sorted[Math.floor((sorted.length - 1) * part)] ?? Number.NaN;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), worst: at(1) };
}

function text({ count, p50, p99, worst }: Figures): string {
  return `${count}: p50 ${p50.toFixed(1)} p99 ${p99.toFixed(1)} worst ${worst.toFixed(1)} ms`;
}

test(
  "small requests beside ranges over 100,000 keys",
  async () => {
    await using server = await startAether();
    const client = new GrpcJsClient(server.endpoint);
    await fill(client);
    const warm = new Prober();
    await warm.run(client, () => warm.getsMs.length >= 500);
    const quiet = new Prober();
    await quiet.run(client, () => quiet.getsMs.length >= 500);
    const reader = Bun.spawn(
      [process.execPath, join(import.meta.dir, "large-ranges.ts"), server.endpoint],
      { stdout: "pipe", stderr: "inherit" },
    );
    const answers: number[] = [];
    const reading = (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of reader.stdout) {
        answers.push(...decoder.decode(chunk).trim().split("\n").map(Number));
      }
    })();
    await until("the first large answer", () => answers.length > 0);
    const from = answers.length;
    const deadlineMs = performance.now() + PHASE_MS_MAX;
    const beside = new Prober();
    await beside.run(
      client,
      () => answers.length - from >= RANGES || performance.now() > deadlineMs,
    );
    reader.kill();
    await Promise.all([reader.exited, reading]);
    client.close();
    const ranges = answers.length - from;
    expect(Math.min(...answers)).toBeGreaterThan(KEYS * VALUE_BYTES * 0.9);
    expect(ranges).toBeGreaterThanOrEqual(3);
    console.log(`${ranges} ranges of ${((answers[0] ?? 0) / 1e6).toFixed(1)} MB, meanwhile`);
    for (const [name, was, is] of [
      ["gets", quiet.getsMs, beside.getsMs],
      ["puts", quiet.putsMs, beside.putsMs],
    ] as const) {
      const [before, during] = [figuresOf(was), figuresOf(is)];
      console.log(`${name} quiet ${text(before)}; beside ranges ${text(during)}`);
      expect(during.worst - before.p50).toBeLessThan(DELAY_MS_MAX);
    }
  },
  TEST_MS_MAX,
);
