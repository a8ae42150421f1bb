/** More requests than anybody could answer (reliability.md §4.2): refused early, served fast. */
import { expect, test } from "bun:test";
import { WAIT_MS_TARGET } from "../../src/node/call-limit.ts";
import { attack } from "./harness.ts";

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
