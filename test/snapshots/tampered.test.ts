/**
 * A snapshot that somebody has changed is refused before anything is made of it: by its SHA-256,
 * whatever byte it was, and by its structure where the hash is not asked for.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { AETHER, startAether } from "../support/processes.ts";
import { type Ended, runToEnd } from "../support/run.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-tampered-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const SHA256_BYTES = 32;
const PLAIN = "the balance is 100";
const FORGED = "the balance is 900";

let whole: Buffer;

beforeAll(async () => {
  await using server = await startAether();
  const client = new EtcdClient({ endpoints: [server.endpoint] });
  for (let i = 0; i < 50; i++) await client.put(`key ${i}`, Buffer.from(PLAIN));
  client.close();
  const file = join(directory, "whole.db");
  const endpoint = ["--endpoints", server.endpoint];
  const saved = await runToEnd([AETHER, "ctl", ...endpoint, "snapshot", "save", file]);
  expect(saved.status).toBe(0);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  whole = readFileSync(file);
});

let count = 0;

interface Restored extends Ended {
  readonly dataDir: string;
}

async function restore(bytes: Uint8Array, ...flags: readonly string[]): Promise<Restored> {
  const file = join(directory, `${++count}.db`);
  const dataDir = join(directory, `${count}.data`);
  writeFileSync(file, bytes);
  const words = ["utl", "snapshot", "restore", file, "--data-dir", dataDir, ...flags];
  return { ...(await runToEnd([AETHER, ...words])), dataDir };
}

function changed(at: number): Buffer {
  const bytes = Buffer.from(whole);
  const place = at < 0 ? bytes.length + at : at;
  bytes[place] = (bytes[place] as number) ^ 1;
  return bytes;
}

function forged(): Buffer {
  const bytes = Buffer.from(whole);
  bytes.write(FORGED, bytes.indexOf(PLAIN), "latin1");
  return bytes;
}

test("what was saved is restored, for its owner alone", async () => {
  const { status, dataDir } = await restore(whole);
  expect(status).toBe(0);
  expect(statSync(dataDir).mode & 0o777).toBe(0o700);
  expect(statSync(join(dataDir, "group-1", "state.db")).mode & 0o777).toBe(0o600);
  expect(statSync(join(dataDir, "raft.db")).mode & 0o777).toBe(0o600);
});

describe("it is refused, and nothing is made of it:", () => {
  const cases: readonly (readonly [name: string, bytes: () => Uint8Array, said: RegExp])[] = [
    ["a byte of its head", () => changed(20), /expected sha256/],
    ["a byte in its middle", () => changed(whole.length >> 1), /expected sha256/],
    ["a byte of the hash", () => changed(-1), /expected sha256/],
    ["a value", forged, /expected sha256/],
    ["a page in place of another", () => spliced(), /expected sha256/],
    ["a page that is gone", () => withoutPage(), /cut short/],
    ["the hash that is gone", () => whole.subarray(0, -SHA256_BYTES), /missing hash/],
    ["the end that is gone", () => whole.subarray(0, whole.length >> 1), /hash|cut short/],
    ["nothing", () => new Uint8Array(0), /it is empty/],
  ];
  test.each([...cases])("%s", async (_name, bytes, said) => {
    const { status, stdout, stderr, dataDir } = await restore(bytes());
    expect(status).not.toBe(0);
    expect(stdout + stderr).toMatch(said);
    expect(existsSync(dataDir)).toBe(false);
  });
});

const PAGE_BYTES = 4096;

function spliced(): Buffer {
  const bytes = Buffer.from(whole);
  bytes.copy(bytes, 2 * PAGE_BYTES, 3 * PAGE_BYTES, 4 * PAGE_BYTES);
  return bytes;
}

function withoutPage(): Buffer {
  return Buffer.concat([whole.subarray(0, 2 * PAGE_BYTES), whole.subarray(3 * PAGE_BYTES)]);
}

test("without the hash, pages that contradict each other are refused all the same", async () => {
  const flag = "--skip-hash-check";
  for (const bytes of [spliced(), withoutPage().subarray(0, -SHA256_BYTES)]) {
    const { status, dataDir } = await restore(bytes, flag);
    expect(status).not.toBe(0);
    expect(existsSync(dataDir)).toBe(false);
  }
  expect((await restore(forged(), flag)).status).toBe(0); // what whoever says so asked for
});
