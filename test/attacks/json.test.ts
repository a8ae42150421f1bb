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
