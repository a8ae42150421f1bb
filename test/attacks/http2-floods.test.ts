/** Floods of HTTP/2 frames (reliability.md §4.2): each ends by our limits and disturbs nobody. */
import { expect, test } from "bun:test";
import { attack } from "./harness.ts";

/** A quiet server holds about 70 MiB; a flood may add the buffers of its few connections. */
const BOUND_MB = 200;
const TEST_MS_MAX = 60_000;

test(
  "rapid reset, CVE-2023-44487",
  async () => {
    const report = await attack({
      name: "rapid reset",
      script: "rapid-reset.attack.ts",
      boundMb: BOUND_MB,
    });
    expect(report.sent["requests reset"]).toBeGreaterThan(1000);
    expect(report.ended["GOAWAY ENHANCE_YOUR_CALM"]).toBeGreaterThan(0);
  },
  TEST_MS_MAX,
);
