/** The checks, with loads that are over in a moment. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { parseArguments } from "../../src/cli/arguments.ts";
import type { Command } from "../../src/cli/ctl/command.ts";
import { COMMANDS } from "../../src/cli/ctl/command-table.ts";
import {
  checkDatascale,
  checkPerf,
  runDatascale,
  runPerf,
} from "../../src/cli/ctl/commands/check.ts";
import { GLOBAL_ARGS, resolveGlobals } from "../../src/cli/ctl/globals.ts";
import { Invocation } from "../../src/cli/ctl/invocation.ts";
import { ExitError } from "../../src/cli/exit.ts";
import { type ServerProcess, startAether } from "../support/processes.ts";
import { FakeIo, runFake } from "./fake-io.ts";

let server: ServerProcess;
beforeAll(async () => {
  server = await startAether();
});
afterAll(() => server[Symbol.asyncDispose]());

interface Checked {
  readonly lines: readonly string[];
  readonly failed: boolean;
}

async function checked(
  command: Command,
  flags: readonly string[],
  check: (call: Invocation) => Promise<void>,
): Promise<Checked> {
  const words = [`--endpoints=${server.endpoint}`, ...flags];
  const args = parseArguments(words, { ...command.args, ...GLOBAL_ARGS });
  const io = new FakeIo();
  const globals = resolveGlobals(args);
  const call = new Invocation({ command, commands: COMMANDS, args, globals, io });
  let failed = false;
  try {
    await check(call);
  } catch (error) {
    if (!(error instanceof ExitError)) throw error;
    expect(error.message).toBe("");
    failed = true;
  } finally {
    call.close();
  }
  return { lines: io.stdout.toString().trimEnd().split("\n"), failed };
}

const left = async (prefix: string): Promise<string> =>
  (await runFake(["get", "--prefix", prefix, `--endpoints=${server.endpoint}`])).stdout.toString();

test("perf says how fast, how slow and how even, and leaves nothing", async () => {
  const flags = ["--auto-compact", "--auto-defrag", "--prefix=perf/"];
  const load = { writesPerSecond: 100, clients: 5, seconds: 1 };
  const { lines, failed } = await checked(checkPerf, flags, (call) => runPerf(call, load));
  expect(lines.slice(0, 4)).toEqual([
    expect.stringMatching(/^Compacting with revision \d+$/),
    expect.stringMatching(/^Compacted with revision \d+$/),
    `Defragmenting "${server.endpoint}"`,
    `Defragmented "${server.endpoint}"`,
  ]);
  // How well it does is the machine's business.
  expect(lines[4]).toMatch(/^(PASS: Throughput is|FAIL: Throughput too low:) \d+ writes\/s$/);
  expect(lines[5]).toMatch(/^(PASS: Slowest request took|Slowest .* long:) \d+\.\d{6}s$/);
  expect(lines[6]).toMatch(/^(PASS: Stddev is|Stddev too high:) \d+\.\d{6}s$/);
  expect(lines.slice(7)).toEqual([failed ? "FAIL" : "PASS"]);
  expect(await left("perf/")).toBe("");
});

test("perf that cannot keep up fails", async () => {
  const load = { writesPerSecond: 1_000_000, clients: 1, seconds: 1 };
  const { lines, failed } = await checked(checkPerf, [], (call) => runPerf(call, load));
  expect(lines[0]).toMatch(/^FAIL: Throughput too low: \d+ writes\/s$/);
  expect(lines.at(-1)).toBe("FAIL");
  expect(failed).toBe(true);
});

test("datascale says what memory the keys took, and leaves nothing", async () => {
  const load = { keys: 200, clients: 4 };
  const flags = ["--prefix=scale/"];
  const { lines } = await checked(checkDatascale, flags, (call) => runDatascale(call, load));
  expect(lines).toEqual([
    "Start data scale check for work load " +
      "[200 key-value pairs, 1024 bytes per key-value, 4 concurrent clients].",
    expect.stringMatching(/^PASS: Approximate system memory used : -?\d+\.\d\d MB\.$/),
  ]);
  expect(await left("scale/")).toBe("");
});

test("keys that were there are not deleted", async () => {
  await runFake(["put", "mine/1", "x", `--endpoints=${server.endpoint}`]);
  const words = ["check", "datascale", "--prefix=mine/", `--endpoints=${server.endpoint}`];
  expect(await runFake(words)).toMatchObject({
    status: 3,
    stderr: 'Error: prefix "mine/" has keys. Delete with etcdctl del --prefix mine/ first\n',
  });
  expect(await left("mine/")).toBe("mine/1\nx\n");
});
