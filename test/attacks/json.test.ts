/** Large answers as JSON (reliability.md §4.2, slow read): made in slices, and only as read. */
import { expect, test } from "bun:test";
import { attack } from "./harness.ts";

/** 24 MiB of values, in the cache and in the store's queue, and half a megabyte a reader. */
const BOUND_MB = 900;
const TEST_MS_MAX = 90_000;

test(
  "sixty who ask for 24 MiB as JSON and do not read",
  async () => {
    const report = await attack({
      name: "readers of JSON",
      script: "json-readers.attack.ts",
      args: ["60", "24"],
      boundMb: BOUND_MB,
    });
    expect(report.sent["ranges asked for"]).toBeGreaterThanOrEqual(60);
    expect(report.ended["200"]).toBeGreaterThan(30);
  },
  TEST_MS_MAX,
);

/** Thousands of requests begin in each strike, and each is a read. */
const STREAMS_P99_MS_MAX = 150;
/** Without a bound of what waits, it was four gigabytes. */
const STREAMS_BOUND_MB = 800;

test(
  "a hundred connections that ask for JSON on ever more streams",
  async () => {
    const report = await attack({
      name: "streams of JSON",
      script: "json-streams.attack.ts",
      args: ["100"],
      boundMb: STREAMS_BOUND_MB,
      p99MsMax: STREAMS_P99_MS_MAX,
    });
    expect(report.sent["ranges asked for"]).toBeGreaterThan(10_000);
    expect(report.sent["answered bytes"]).toBeGreaterThan(0);
  },
  TEST_MS_MAX,
);
