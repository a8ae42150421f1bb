/**
 * Attacks on memory: many connections, each within the bounds of one, that make the server hold
 * what they do not take, or do not finish (reliability.md §4.2, slow readers and slowloris).
 *
 *   bun test/attacks/http2-memory.attack.ts <port> <seconds> <name of HOLDERS> <connections>
 */
import { EtcdClient } from "../../src/client/etcd-client.ts";
import {
  bytesField,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  HostileConnection,
  INITIAL_WINDOW_SIZE,
  message,
  PREFACE,
  PUT,
  RANGE,
  request,
  u32,
  WATCH,
  WINDOW_MAX,
  widen,
} from "./hostile-connection.ts";
import { type Attack, runAttack } from "./script.ts";

const LARGE_BYTES = 1024 * 1024;
/** Of one burst; a connection sends bursts until the attack is over. */
const STREAMS_PER_BURST = 50;
const BURST_PAUSE_MS = 20;

interface Holder {
  open(port: number): Promise<HostileConnection>;
  /** What a connection sends on the streams from `id` on; nothing: it only stays. */
  burst(id: number): Uint8Array[];
}

const RANGE_HEAD = request(RANGE);
const LARGE_KEY = message(bytesField(1, Buffer.from("large")));

/** Requests for the large value. */
function askMuch(id: number): Uint8Array[] {
  return streamsFrom(id, (stream) => [
    frame(HEADERS, END_HEADERS, stream, RANGE_HEAD),
    frame(DATA, END_STREAM, stream, LARGE_KEY),
  ]);
}

function streamsFrom(id: number, make: (id: number) => Uint8Array[]): Uint8Array[] {
  return Array.from({ length: STREAMS_PER_BURST }, (_, n) => make(id + n * 2)).flat();
}

const PUT_HEAD = request(PUT);
/** All but the end of a message that fits the window of a stream. */
const HALF = Buffer.concat([Buffer.from([0]), u32(65_000), Buffer.alloc(16_000)]);
const WATCH_HEAD = request(WATCH);
const LARGE_HEAD = request(
  WATCH,
  [1, 2, 3].map((n) => [`x-${n}`, "z".repeat(4000)] as const),
);

const HOLDERS: Readonly<Record<string, Holder>> = {
  "answers for a window of 0": {
    open: (port) => HostileConnection.begin(port, [INITIAL_WINDOW_SIZE, 0]),
    burst: askMuch,
  },
  "answers that are not read": {
    async open(port) {
      const connection = await HostileConnection.begin(port, [INITIAL_WINDOW_SIZE, WINDOW_MAX]);
      connection.send(widen());
      connection.pause();
      return connection;
    },
    burst: askMuch,
  },
  "requests that stop half way": {
    open: (port) => HostileConnection.begin(port),
    burst: (id) =>
      streamsFrom(id, (stream) => [
        frame(HEADERS, END_HEADERS, stream, PUT_HEAD),
        frame(DATA, 0, stream, HALF),
      ]),
  },
  "streams that stay": {
    open: (port) => HostileConnection.begin(port),
    burst: (id) => streamsFrom(id, (stream) => [frame(HEADERS, END_HEADERS, stream, WATCH_HEAD)]),
  },
  "streams with large fields": {
    open: (port) => HostileConnection.begin(port),
    burst: (id) => streamsFrom(id, (stream) => [frame(HEADERS, END_HEADERS, stream, LARGE_HEAD)]),
  },
  "half a preface": {
    async open(port) {
      const connection = await HostileConnection.open(port);
      connection.send(PREFACE.subarray(0, 10));
      return connection;
    },
    burst: () => [],
  },
  "half a header block": {
    async open(port) {
      const connection = await HostileConnection.begin(port);
      connection.send(frame(HEADERS, 0, 1, Buffer.alloc(16_000)));
      return connection;
    },
    burst: () => [],
  },
};

await runAttack(async (attack) => {
  const [name = "", count = ""] = attack.args;
  const holder = HOLDERS[name];
  if (holder === undefined) throw new Error(`nothing is called "${name}"`);
  const client = new EtcdClient({ endpoints: [`127.0.0.1:${attack.port}`] });
  await client.put("large", Buffer.alloc(LARGE_BYTES, "l"));
  client.close();
  attack.begin();
  await Promise.all(Array.from({ length: Number(count) }, () => hold(attack, holder)));
});

/** Keeps one connection, and the next when the server has ended it, until the time is up. */
async function hold(attack: Attack, holder: Holder): Promise<void> {
  while (!attack.over) {
    const connection = await holder.open(attack.port);
    attack.count("connections");
    for (let id = 1; !attack.over && !connection.closed; id += STREAMS_PER_BURST * 2) {
      const parts = holder.burst(id);
      if (parts.length > 0) {
        connection.send(...parts);
        attack.count("bursts");
      }
      const pauseMs = Math.min(BURST_PAUSE_MS, attack.leftMs);
      await Promise.race([connection.drained(), Bun.sleep(attack.leftMs)]);
      await Bun.sleep(pauseMs);
    }
    attack.end(connection.closed ? await connection.ended : "still open");
    for (const [code, times] of Object.entries(connection.resets)) {
      attack.count(`resets got: ${code}`, times);
    }
    connection.close();
  }
}
