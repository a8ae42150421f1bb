/**
 * Attacks at the address for members, by whoever can reach it and has no secret:
 *
 *   strangers   calls of every kind without a proof, and with one that is guessed
 *   replay      all that a member said on a connection, again on others
 *   crowd       as many connections as there are, each of which says hello and no more
 *   bodies      a message of 4 GiB announced to a small call, and bytes without end
 *
 * `replay` is told the secret, to record a member first; what it sends then is the recording.
 */
import { ByteWriter } from "../../src/base/bytes.ts";
import { Secret } from "../../src/base/secret.ts";
import { callPeer } from "../../src/net/peers/calls.ts";
import { helloFields } from "../../src/net/peers/hello.ts";
import { openSession } from "../../src/net/peers/session.ts";
import { AetherPeer, ChallengePeerRequest } from "../../src/proto/gen/aether.v1.ts";
import { GrpcClientConnection } from "../../src/wire/grpc/client-connection.ts";
import { DATA, frame, HostileConnection, message, request, u32 } from "./hostile-connection.ts";
import { type Attack, runAttack } from "./script.ts";

/** Connections at a time; the server takes a hundred of one address. */
const CONNECTIONS = 20;
/** Long enough for an answer on a busy machine. */
const ANSWER_MS_MAX = 3000;

const METHODS = Object.values(AetherPeer).map(({ path }) => path);
const GUESS = Buffer.alloc(24, 7).toString("base64");

interface Target {
  readonly secret: string;
  readonly clusterId: bigint;
  readonly from: bigint;
  readonly to: bigint;
}

function targetOf([, secret = "", ...ids]: readonly string[]): Target {
  const [clusterId = 0n, from = 0n, to = 0n] = ids.map(BigInt);
  return { secret, clusterId, from, to };
}

/** The head of every call: who it says it is, and for half of them a proof out of nowhere. */
function heads(target: Target): Buffer[] {
  const [name = "", hello = ""] = helloFields(target, 3, new ByteWriter(128));
  return METHODS.flatMap((path) => [
    request(path, [[name, hello]]),
    request(path, [
      [name, hello],
      ["x-aether-peer-proof-bin", GUESS],
    ]),
  ]);
}

async function strangers(attack: Attack, target: Target): Promise<void> {
  const blocks = heads(target);
  const out = new ByteWriter(64);
  ChallengePeerRequest.encode({ nonce: new Uint8Array(32) }, out);
  const body = message(out.view());
  const strike = async (): Promise<void> => {
    while (!attack.over) {
      const connection = await HostileConnection.begin(attack.port);
      for (let id = 1; id < 200 && !attack.over && !connection.closed; id += 2) {
        const head = blocks[(id >> 1) % blocks.length] as Buffer;
        connection.send(frame(1, 4, id, head), frame(DATA, 1, id, body));
        attack.count("calls");
        await connection.drained();
        if (id % 20 === 1) await Bun.sleep(0);
      }
      await Bun.sleep(1);
      attack.count("answers with data", connection.received[DATA] ?? 0);
      attack.count("answers", connection.received[1] ?? 0);
      connection.close();
    }
  };
  attack.begin();
  await Promise.all(Array.from({ length: CONNECTIONS }, strike));
}

/** What a member sends to ask one question, byte by byte; and how many DATA frames answer it. */
async function record(attack: Attack, target: Target): Promise<Buffer> {
  const said: Uint8Array[] = [];
  const grpc = new GrpcClientConnection({ scheme: "http", authority: "x", nowMs: 0 });
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: attack.port,
    socket: { data: (_socket, bytes) => grpc.receive(bytes, 0) },
  });
  const flush = (): void => {
    const { output } = grpc;
    const bytes = Buffer.from(output.bytes.subarray(output.start, output.end));
    output.advance(output.pending);
    said.push(bytes);
    socket.write(bytes);
  };
  grpc.onOutput = () => queueMicrotask(flush);
  flush();
  const secret = new Secret(target.secret);
  const session = await openSession(grpc, secret, ANSWER_MS_MAX);
  const hello = helloFields(target, 3, new ByteWriter(128));
  const asked = callPeer({ grpc, session }, AetherPeer.MemberInfo, hello, {}, ANSWER_MS_MAX);
  const { memberId } = await asked;
  if (memberId === target.to) attack.end("answered when it was said first");
  socket.end();
  return Buffer.concat(said);
}

async function replay(attack: Attack, target: Target): Promise<void> {
  const recording = await record(attack, target);
  attack.begin();
  const strike = async (): Promise<void> => {
    while (!attack.over) {
      const connection = await HostileConnection.open(attack.port);
      connection.send(recording);
      attack.count("replays");
      const sinceMs = performance.now();
      // Challenge is answered with DATA, each call that is let in as well; refused ones are not.
      while ((connection.received[1] ?? 0) < 3 && performance.now() - sinceMs < ANSWER_MS_MAX) {
        await Bun.sleep(1);
      }
      attack.end(`${connection.received[DATA]} of 2 calls answered`);
      connection.close();
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, strike));
}

async function crowd(attack: Attack): Promise<void> {
  attack.begin();
  const open: HostileConnection[] = [];
  while (!attack.over) {
    attack.count("connections");
    try {
      open.push(await HostileConnection.begin(attack.port));
    } catch {
      attack.count("refused at once"); // before Bun says that it is connected
    }
    if ((attack.sent["connections"] as number) % 20 === 0) await Bun.sleep(1);
  }
  await Bun.sleep(50);
  attack.count("held", open.filter(({ closed }) => !closed).length);
  for (const connection of open) connection.close();
}

async function bodies(attack: Attack, target: Target): Promise<void> {
  const [name = "", hello = ""] = helloFields(target, 3, new ByteWriter(128));
  const head = request(AetherPeer.LeaseRenew.path, [[name, hello]]);
  const announced = Buffer.concat([Buffer.from([0]), u32(2 ** 32 - 1)]);
  const block = Buffer.alloc(16_000);
  attack.begin();
  const strike = async (): Promise<void> => {
    while (!attack.over) {
      const connection = await HostileConnection.begin(attack.port);
      connection.send(frame(1, 4, 1, head), frame(DATA, 0, 1, announced));
      while (!attack.over && !connection.closed) {
        connection.send(frame(DATA, 0, 1, block));
        attack.count("bytes", block.length);
        await Promise.race([connection.drained(), Bun.sleep(attack.leftMs)]);
        await Bun.sleep(0);
      }
      attack.end(connection.closed ? await connection.ended : "still open");
      connection.close();
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, strike));
}

await runAttack(async (attack) => {
  const target = targetOf(attack.args);
  switch (attack.args[0]) {
    case "strangers":
      return await strangers(attack, target);
    case "replay":
      return await replay(attack, target);
    case "crowd":
      return await crowd(attack);
    case "bodies":
      return await bodies(attack, target);
    default:
      throw new Error(`no attack is called ${attack.args[0]}`);
  }
});
