/** --auto-compaction-retention, as etcd reads it in either mode (embed/etcd.go). */
import { describe, expect, test } from "bun:test";
import { retentionOf } from "../../src/server/config/retention.ts";

const HOUR = 3_600_000;

describe("the history that is kept", () => {
  test.each([
    ["1", 1 * HOUR],
    ["+8", 8 * HOUR],
    ["5m", 300_000],
    ["1h30m", 1.5 * HOUR],
    ["500ms", 500],
  ])("of %p by period", (text, periodMs) => {
    expect(retentionOf("periodic", text)).toEqual({ periodMs });
  });

  test.each([
    ["1000", 1000],
    ["5us", 5000], // a duration is nanoseconds
  ])("of %p by revisions", (text, revisions) => {
    expect(retentionOf("revision", text)).toEqual({ revisions });
  });

  test("is everything at 0", () => {
    for (const text of ["", "0", "0s", "0h"]) {
      for (const mode of ["periodic", "revision"]) {
        expect(retentionOf(mode, text)).toBe(undefined);
      }
    }
  });

  test("is refused if it is no such thing", () => {
    for (const text of ["x", "1.5", "-5m", "-1", "9".repeat(20), "5 m"]) {
      expect(() => retentionOf("periodic", text)).toThrow("--auto-compaction-retention: expected");
    }
  });
});
