/** The witness is what it says it is, serves, and ends; where it is missing, that is said. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { absence, findWitness, startWitness, WITNESS_VERSION, witness } from "./etcd-witness.ts";
import { GrpcJsClient } from "./grpc-js.ts";
import { runToEnd } from "./run.ts";

if (witness === undefined) console.warn(`SKIPPED, what is compared with it: ${absence()}`);

test("a directory without all three programs holds no witness", () => {
  const directory = mkdtempSync(join(tmpdir(), "aether-test-witness-"));
  expect(findWitness(directory)).toBeUndefined();
  rmSync(directory, { recursive: true });
});

test.skipIf(witness === undefined)("all three programs are of the pinned version", async () => {
  const words: [string | undefined, string][] = [
    [witness?.etcd, "--version"],
    [witness?.etcdctl, "version"],
    [witness?.etcdutl, "version"],
  ];
  for (const [tool = "", word] of words) {
    expect((await runToEnd([tool, word])).stdout).toMatch(
      new RegExp(`version: ${WITNESS_VERSION}\\b`, "i"),
    );
  }
});

test.skipIf(witness === undefined)("it serves, and ends with its owner", async () => {
  const server = await startWitness();
  const client = new GrpcJsClient(server.endpoint);
  const status = await client.unary("etcdserverpb.Maintenance/Status");
  expect(status).toMatchObject({ version: WITNESS_VERSION });
  client.close();
  await server[Symbol.asyncDispose]();
  expect(server.pid).toBeUndefined();
});
