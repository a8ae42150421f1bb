/**
 * What stays within the rules and is slow, or much: a client that stops at each phase is cut in
 * time, one that holds a thousand watch streams is served, and nobody is refused for not knowing
 * how many streams there may be (reliability.md §4.2).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { RESET_BURST } from "../../src/wire/http2/limits.ts";
import { type ServerProcess, startAether, until } from "../support/processes.ts";
import {
  ACK,
  bytesField,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  HostileConnection,
  message,
  PREFACE,
  PUT,
  request,
  SETTINGS,
  settings,
  WATCH,
} from "./hostile-connection.ts";

/** PREFACE_TIMEOUT_MS and HEADER_TIMEOUT_MS of the server, and a busy machine's slack. */
const CUT_MS_MAX = 5_000 + 5_000;
const TEST_MS_MAX = 30_000;

let server: ServerProcess;
beforeAll(async () => {
  server = await startAether();
});
afterAll(() => server[Symbol.asyncDispose]());

const PHASES: readonly (readonly [name: string, sent: Uint8Array])[] = [
  ["nothing at all", new Uint8Array(0)],
  ["half a preface", PREFACE.subarray(0, 12)],
  ["a preface without SETTINGS", PREFACE],
  ["half of SETTINGS", Buffer.concat([PREFACE, settings([4, 1000]).subarray(0, 11)])],
  [
    "half of HEADERS",
    Buffer.concat([PREFACE, settings(), frame(HEADERS, 4, 1, request(PUT)).subarray(0, 30)]),
  ],
  [
    "HEADERS without their CONTINUATION",
    Buffer.concat([PREFACE, settings(), frame(HEADERS, 0, 1, request(PUT))]),
  ],
];

describe("one that stops is cut in time, after", () => {
  for (const [name, sent] of PHASES) {
    test.concurrent(
      name,
      async () => {
        const connection = await HostileConnection.open(server.port);
        const fromMs = performance.now();
        if (sent.length > 0) connection.send(sent);
        await connection.ended;
        const tookMs = performance.now() - fromMs;
        expect(tookMs).toBeGreaterThan(4_000);
        expect(tookMs).toBeLessThan(CUT_MS_MAX);
      },
      TEST_MS_MAX,
    );
  }
});

const WATCHES = 1500;
const put = (id: number): Buffer =>
  Buffer.concat([
    frame(HEADERS, END_HEADERS, id, request(PUT)),
    frame(DATA, END_STREAM, id, message(bytesField(1, Buffer.from("a")))),
  ]);

test(
  "1500 watch streams and a put on the same connection",
  async () => {
    const connection = await HostileConnection.begin(server.port);
    for (let n = 0; n < WATCHES; n++) {
      connection.send(frame(HEADERS, END_HEADERS, n * 2 + 1, request(WATCH)));
    }
    connection.send(put(WATCHES * 2 + 1));
    await until("the answer of the put", () => connection.dataBytes > 0);
    expect([connection.closed, connection.resets]).toEqual([false, {}]);
    connection.close();
  },
  TEST_MS_MAX,
);

test(
  "streams over the bound before our SETTINGS are acknowledged do not end the connection",
  async () => {
    await using few = await startAether({ args: ["--max-concurrent-streams", "10"] });
    const connection = await HostileConnection.begin(few.port);
    for (let n = 0; n < 500; n++) {
      connection.send(frame(HEADERS, END_HEADERS, n * 2 + 1, request(WATCH)));
    }
    await until("490 refusals", () => connection.resets["REFUSED_STREAM"] === 490);
    expect(connection.closed).toBe(false);
    connection.send(frame(SETTINGS, ACK, 0));
    for (let n = 500; n < 500 + 2 * RESET_BURST; n++) {
      connection.send(frame(HEADERS, END_HEADERS, n * 2 + 1, request(WATCH)));
    }
    expect(await connection.ended).toBe("GOAWAY ENHANCE_YOUR_CALM"); // now it knew better
  },
  TEST_MS_MAX,
);
