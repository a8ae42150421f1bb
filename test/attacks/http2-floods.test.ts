/** Floods of HTTP/2 frames (reliability.md §4.2): each ends by our limits and disturbs nobody. */
import { describe, expect, test } from "bun:test";
import { startAether } from "../support/processes.ts";
import { attack } from "./harness.ts";

/** A quiet server holds about 75 MiB; a flood may add the buffers of its few connections. */
const BOUND_MB = 400;
/** Windows are short, since the floods are many. */
const SECONDS = 0.4;
const TEST_MS_MAX = 60_000;
/** The costliest ones came to some thousands, others to hundreds of thousands. */
const FRAMES_MIN = 1000;

const CALM = "GOAWAY ENHANCE_YOUR_CALM";
const PROTOCOL = "GOAWAY PROTOCOL_ERROR";

/** How the server must end the connections; "" where it goes on, since the work is like any. */
const FLOODS: readonly (readonly [name: string, end: string])[] = [
  ["rapid reset", CALM], // CVE-2023-44487
  ["rapid reset of streams", CALM],
  ["deadlines that have passed", ""],
  // CVE-2025-8671, the six ways and two more
  ["made reset: window update of 0", PROTOCOL],
  ["made reset: window overflow", "GOAWAY FLOW_CONTROL_ERROR"],
  ["made reset: DATA after the end", "GOAWAY STREAM_CLOSED"],
  ["made reset: HEADERS after the end", "GOAWAY STREAM_CLOSED"],
  ["made reset: PRIORITY of a wrong size", "GOAWAY FRAME_SIZE_ERROR"],
  ["made reset: wrong content-length", CALM],
  ["made reset: malformed requests", CALM],
  ["empty CONTINUATION", CALM], // CVE-2024-27316, CVE-2023-45288
  ["endless CONTINUATION", CALM],
  ["Huffman blocks", CALM],
  ["HPACK bomb", CALM],
  ["HPACK table thrash", CALM],
  ["large fields", ""],
  ["SETTINGS", CALM], // CVE-2019-9515
  ["SETTINGS, all full", CALM],
  ["SETTINGS_MAX_FRAME_SIZE of 0", PROTOCOL],
  ["SETTINGS under many streams", CALM],
  ["PING", CALM], // CVE-2019-9512
  ["PRIORITY", CALM], // CVE-2019-9513
  ["empty DATA", CALM], // CVE-2019-9518
  ["empty HEADERS", CALM],
  ["WINDOW_UPDATE of the connection", CALM],
  ["WINDOW_UPDATE of a stream", CALM],
  ["frames of unknown types", CALM],
  ["resets of streams that are over", CALM],
  ["announcements of 4 GiB", ""],
  ["gzip bombs", ""],
  ["gzip that grows a hundred times", ""],
  ["nested transactions", ""],
];

describe("floods", async () => {
  const server = await startAether();
  for (const [name, end] of FLOODS) {
    test(
      name,
      async () => {
        const script = "http2-flood.attack.ts";
        const options = {
          name,
          script,
          args: [name, end === "" ? "" : "ends"],
          server,
          seconds: SECONDS,
        };
        const report = await attack({ ...options, boundMb: BOUND_MB });
        expect(report.sent["frames"]).toBeGreaterThan(FRAMES_MIN);
        const ends = Object.keys(report.ended).filter((how) => how !== "still open");
        // A reset may overtake the GOAWAY where we were still sending: then it is only "closed".
        expect(ends.filter((how) => how !== "closed")).toEqual(end === "" ? [] : [end]);
      },
      TEST_MS_MAX,
    );
  }
  test("an operator sees them, and the server ends", async () => {
    const response = await fetch(`http://${server.metricsEndpoint}/metrics`);
    const text = await response.text();
    expect(text).toMatch(/aether_http2_limits_met_total\{limit="flood"\} [1-9]/);
    expect(text).toMatch(/aether_http2_limits_met_total\{limit="protocol"\} [1-9]/);
    expect(text).toMatch(/aether_connection_memory_bytes \d/);
    await server[Symbol.asyncDispose]();
  });
});
