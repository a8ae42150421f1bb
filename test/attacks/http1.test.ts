/** HTTP/1.1 (reliability.md §4.2): slowloris, oversize, smuggling, pipelines, unfinished bodies. */
import { expect, test } from "bun:test";
import { HELD_BYTES_MAX } from "../../src/net/input-share.ts";
import { MEMORY_BYTES_MAX } from "../../src/wire/memory.ts";
import { type AttackReport, attack } from "./harness.ts";

/** Half a kilobyte a stalled connection is nothing; the rest is what a quiet server holds. */
const BOUND_MB = 250;
/** The budget of bodies, that of input that waits, and the garbage of filling and dropping them. */
const BODIES_BOUND_MB = 500 + (MEMORY_BYTES_MAX + HELD_BYTES_MAX) / 2 ** 20;
/**
 * Requests by the thousand that are served, and floods of megabytes: the attacker takes his part of
 * a machine with two cores. Without slices it was half a second.
 */
const BUSY_P99_MS = 60;
/** Half a megabyte of each is read at once when three hundred begin together. */
const BURST_P99_MS = 500;
const TEST_MS_MAX = 90_000;
/** A head may take five seconds. */
const SLOW_SECONDS = 7;

interface Strike {
  readonly boundMb?: number;
  readonly seconds?: number;
  readonly p99MsMax?: number;
}

const strike = (which: string, connections: number, more: Strike = {}): Promise<AttackReport> =>
  attack({
    name: `HTTP/1.1, ${which}`,
    script: "http1.attack.ts",
    args: [which, `${connections}`],
    ...{ boundMb: BOUND_MB, ...more },
  });

const statusesOf = ({ ended }: AttackReport): string[] =>
  Object.keys(ended)
    .filter((how) => /^\d+$/.test(how))
    .sort();

test(
  "slowloris at each phase: ended when their time is over",
  async () => {
    const report = await strike("slow", 300, { seconds: SLOW_SECONDS });
    expect(report.sent["fields"]).toBeGreaterThanOrEqual(60);
    expect(report.ended["408"]).toBeGreaterThan(50);
    expect(statusesOf(report)).toEqual(["408"]);
  },
  TEST_MS_MAX,
);

test(
  "oversize of every kind",
  async () => {
    const report = await strike("oversize", 7, { p99MsMax: BUSY_P99_MS, boundMb: 2 * BOUND_MB });
    expect(statusesOf(report)).toEqual(
      ["400", "413", "414", "431"].filter((code) => report.ended[code]),
    );
    for (const status of ["413", "414", "431"]) expect(report.ended[status]).toBeGreaterThan(0);
  },
  TEST_MS_MAX,
);

test(
  "smuggled requests are never seen",
  async () => {
    const report = await strike("smuggle", 22);
    expect(statusesOf(report)).toEqual(["400", "501"]); // 404 would be the hidden one's
    expect(Object.keys(report.sent).length).toBe(11);
  },
  TEST_MS_MAX,
);

test(
  "requests in a row without end",
  async () => {
    const report = await strike("pipeline", 20, { p99MsMax: BUSY_P99_MS });
    expect(report.ended["200"]).toBeGreaterThan(100);
  },
  TEST_MS_MAX,
);

test(
  "three hundred bodies of 2 MB that never end",
  async () => {
    const report = await strike("bodies", 300, {
      ...{ boundMb: BODIES_BOUND_MB, seconds: 2, p99MsMax: BURST_P99_MS },
    });
    expect(report.sent["body"]).toBeGreaterThanOrEqual(300);
  },
  TEST_MS_MAX,
);
