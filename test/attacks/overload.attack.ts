/**
 * More requests than the server can answer, in open loop: so many a second are sent whether or
 * not the earlier ones were answered, as many clients would who each have one to ask. Arguments:
 * what is asked (put, get), connections, requests a second over all of them; and, for a server on a
 * disk that is slow while a file exists (test/support/preload.ts), that file: then a client with a
 * decoder tells how its calls end, too.
 */
import { rmSync, writeFileSync } from "node:fs";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { GrpcError } from "../../src/client/grpc-error.ts";
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
  PUT,
  RANGE,
  request,
  SETTINGS,
  widen,
} from "./hostile-connection.ts";
import { type Attack, runAttack } from "./script.ts";

const SLICE_MS = 10;
const VALUE = Buffer.alloc(256, "v");
/** More at once than a client has that is not taken for a flood (rpc/overload.ts). */
const BUSY_CALLS = 128;
const BUSY_SLICES = 12;
const BUSY_TIMEOUT_MS = 10_000;

const KINDS: Record<string, { readonly head: Buffer; readonly body: Buffer }> = {
  put: {
    head: request(PUT),
    body: message(Buffer.concat([bytesField(1, Buffer.from("flooded")), bytesField(2, VALUE)])),
  },
  get: { head: request(RANGE), body: message(bytesField(1, Buffer.from("flooded"))) },
};

/** One connection and the number of its next stream. */
interface Caller {
  readonly connection: HostileConnection;
  nextId: number;
  isFull: boolean;
}

await runAttack(async (attack) => {
  const [what = "put", connections = "8", perSecond = "50000", slowFile = ""] = attack.args;
  const callers: Caller[] = [];
  for (let count = 0; count < Number(connections); count++) callers.push(await open(attack.port));
  if (slowFile !== "") writeFileSync(slowFile, "");
  attack.begin();
  const busy = slowFile === "" ? undefined : keepBusy(attack);
  const startMs = performance.now();
  let asked = 0;
  while (!attack.over) {
    const due = Math.floor(((performance.now() - startMs) * Number(perSecond)) / 1000);
    const each = Math.ceil((due - asked) / callers.length);
    for (const caller of callers) ask(attack, caller, what, each);
    asked += each * callers.length;
    await Bun.sleep(SLICE_MS);
  }
  if (slowFile !== "") rmSync(slowFile);
  await busy;
  for (const { connection } of callers) {
    const [answered = 0, heads = 0] = [connection.received[DATA], connection.received[HEADERS]];
    attack.ended["answered"] = (attack.ended["answered"] ?? 0) + answered;
    attack.ended["refused"] = (attack.ended["refused"] ?? 0) + heads - 2 * answered;
    for (const [name, count] of Object.entries(connection.resets)) {
      attack.ended[name] = (attack.ended[name] ?? 0) + count;
    }
    if (connection.closed) attack.end(await connection.ended);
    connection.close();
  }
});

/** Calls of a client that knows what it is told, by the names of their codes. */
async function keepBusy(attack: Attack): Promise<void> {
  const client = new EtcdClient({ endpoints: [`http://127.0.0.1:${attack.port}`] });
  const callAgain = async (_: unknown, index: number): Promise<void> => {
    while (!attack.over) {
      await Bun.sleep(SLICE_MS * (index % BUSY_SLICES)); // not all at the sync's return
      try {
        await client.put("busy", VALUE, {}, { timeoutMs: BUSY_TIMEOUT_MS });
        attack.end("OK");
      } catch (error) {
        if (!(error instanceof GrpcError)) throw error;
        attack.end(error.codeName);
        await Bun.sleep(SLICE_MS);
      }
    }
  };
  await Promise.all(Array.from({ length: BUSY_CALLS }, callAgain));
  client.close();
}

async function open(port: number): Promise<Caller> {
  const connection = await HostileConnection.begin(port);
  connection.send(frame(SETTINGS, ACK, 0), widen());
  return { connection, nextId: 1, isFull: false };
}

function ask(attack: Attack, caller: Caller, what: string, count: number): void {
  const { connection } = caller;
  if (connection.closed || caller.isFull) {
    attack.count("held back", count); // the socket takes no more: backpressure
    return;
  }
  const { head, body } = KINDS[what] as (typeof KINDS)[string];
  const parts: Buffer[] = [];
  for (let sent = 0; sent < count; sent++, caller.nextId += 2) {
    parts.push(frame(HEADERS, END_HEADERS, caller.nextId, head));
    parts.push(frame(DATA, END_STREAM, caller.nextId, body));
  }
  attack.count("requests", count);
  if (connection.send(...parts)) return;
  caller.isFull = true;
  void connection.drained().then(() => {
    caller.isFull = false;
  });
}
