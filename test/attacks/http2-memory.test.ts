/**
 * Attacks on memory over HTTP/2 (reliability.md §4.2): what all connections hold together stays
 * within the budget of src/wire/memory.ts, and who behaves is served meanwhile.
 */
import { describe, expect, test } from "bun:test";
import { attack } from "./harness.ts";

/**
 * A quiet server (75 MiB), the budget (256 MiB), input that is held (128 MiB), and what the
 * collector has not yet given back of what came and went.
 */
const BOUND_MB = 640;
/**
 * Header fields are strings, of which the collector lets as many lie about as there are: 500 MiB
 * were seen while it lasts. When the attack ends, all its sockets at once, Bun reads what the
 * system still holds of them, six megabytes each on a loopback: up to 970 for a moment. Longer than
 * other attacks, since what is not counted comes to 1930 in that time.
 */
const STRINGS = { boundMb: 1200, seconds: 4 };
const CONNECTIONS = 50;
/**
 * Each of them asks for fifty megabytes again and again, or opens fifty streams: that much memory
 * is mapped, filled and given back in the second, by the system too, and the pages alone hold a
 * core. Before there was a budget a put beside it took seconds.
 */
const P99_MS_MAX = 150;
const TEST_MS_MAX = 60_000;

describe("memory", () => {
  for (const [name, connections] of [
    ["answers for a window of 0", CONNECTIONS],
    ["answers that are not read", CONNECTIONS],
    ["requests that stop half way", CONNECTIONS],
    ["streams that stay", CONNECTIONS],
    ["streams with large fields", CONNECTIONS],
    ["half a preface", 1000],
    ["half a header block", 1000],
  ] as const) {
    test(
      name,
      async () => {
        const args = [name, `${connections}`];
        const script = "http2-memory.attack.ts";
        const more = name === "streams with large fields" ? STRINGS : { boundMb: BOUND_MB };
        const bounds = { ...more, p99MsMax: P99_MS_MAX };
        const report = await attack({ name, script, args, ...bounds });
        expect(report.sent["connections"]).toBeGreaterThanOrEqual(connections);
      },
      TEST_MS_MAX,
    );
  }
});
