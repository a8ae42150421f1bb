/** More requests than anybody could answer (reliability.md §4.2): refused early, served fast. */
import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { WAIT_MS_TARGET } from "../../src/node/call-limit.ts";
import { canPreload, slowDisk } from "../support/preload.ts";
import { startAether } from "../support/processes.ts";
import { attack } from "./harness.ts";

const preloads = await canPreload();
if (!preloads) console.log("skipped: a slow disk needs a C compiler");

/**
 * What waits for consensus is answered in WAIT_MS_TARGET; a request of the well-behaved client
 * waits for that, to be read before it, and for the processor that the attacker shares.
 */
const P99_MS_MAX = 4 * WAIT_MS_TARGET;
/** 64 MiB of proposals, 128 MiB of rows for the store, 32 MiB of input, and garbage of all that. */
const BOUND_MB = 900;
const TEST_MS_MAX = 90_000;

for (const what of ["put", "get"]) {
  test(
    `open loop, 400 connections that ${what}, twice what the server can and more`,
    async () => {
      const report = await attack({
        name: `overload of ${what}`,
        script: "overload.attack.ts",
        args: [what, "400", "400000"],
        p99MsMax: P99_MS_MAX,
        boundMb: BOUND_MB,
      });
      expect(report.sent["requests"]).toBeGreaterThan(50_000);
      expect(report.ended["answered"]).toBeGreaterThan(10_000);
    },
    TEST_MS_MAX,
  );
}

/** More than WAIT_MS_TARGET, so that waiting calls are too many at once. */
const SLOW_SYNC_MS = 120;
/**
 * Alone on that disk a put waits for two syncs, another's and its own. Three times that, as
 * everywhere (harness.ts), is also what two checkpoints beside it cost.
 */
const SLOW_P99_MS_MAX = 3 * 2 * SLOW_SYNC_MS;

test.skipIf(!preloads)(
  "a disk that has become slow: floods are refused, others are served at the disk's pace",
  async () => {
    const library = await slowDisk();
    const slowFile = join(dirname(library), "slow");
    const env = { LD_PRELOAD: library, SLOW_FILE: slowFile, SLOW_MS: `${SLOW_SYNC_MS}` };
    await using server = await startAether({ env });
    const report = await attack({
      ...{ name: "overload of a slow disk", server, script: "overload.attack.ts" },
      args: ["put", "16", "100000", slowFile],
      seconds: 3,
      p99MsMax: SLOW_P99_MS_MAX,
      boundMb: BOUND_MB,
    });
    expect(report.ended["RESOURCE_EXHAUSTED"]).toBeGreaterThan(100);
    expect(report.ended["refused"]).toBeGreaterThan(5_000);
    expect(report.ended["answered"]).toBeGreaterThan(10_000);
    expect(report.log).toMatch(/limit met .*calls that wait.* count=\d+/);
    rmSync(dirname(library), { recursive: true });
  },
  TEST_MS_MAX,
);
