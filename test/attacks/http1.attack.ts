/**
 * HTTP/1.1 without manners. Arguments: which attack, connections. Each connection is driven again
 * and again; a new one takes the place of one that the server has ended.
 */
import { type Attack, runAttack } from "./script.ts";

const POST = "POST /v3/kv/put HTTP/1.1\r\nhost: localhost\r\n";
const GET = "GET /version HTTP/1.1\r\nhost: localhost\r\n";
/** What a smuggled request asks for; no honest answer here has that status and length. */
const HIDDEN = "GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";
const BODY_BYTES = 2_000_000;
/** Between two bytes of who dribbles. */
const DRIBBLE_MS = 50;

interface Line {
  readonly name: string;
  /** Sent at once. */
  readonly head: string;
  /** Sent a byte at a time after it, or as fast as the socket takes it. */
  readonly rest: Uint8Array;
  readonly dribbles: boolean;
}

const line = (name: string, head: string, rest: string | Uint8Array = ""): Line => ({
  ...{ name, head, dribbles: false },
  rest: typeof rest === "string" ? Buffer.from(rest) : rest,
});
const slow = (name: string, head: string, rest: string): Line => ({
  ...line(name, head, rest.repeat(1000)),
  dribbles: true,
});

const ATTACKS: Readonly<Record<string, readonly Line[]>> = {
  slow: [
    slow("nothing", "", ""),
    slow("request line", "GET /", "a"),
    slow("fields", GET, "a: b\r\n"),
    slow("body", `${POST}content-length: 100000\r\n\r\n`, " "),
    slow("chunks", `${POST}transfer-encoding: chunked\r\n\r\n`, "1\r\n \r\n"),
  ],
  oversize: [
    line("line", "GET /", Buffer.alloc(1_000_000, "a")),
    line("field", `${GET}a: `, Buffer.alloc(1_000_000, "a")),
    line("fields", GET, "a: b\r\n".repeat(10_000)),
    line("length", `${POST}content-length: 4294967296\r\n\r\n`, Buffer.alloc(1_000_000, " ")),
    line("chunk", `${POST}transfer-encoding: chunked\r\n\r\n`, "ffffffff\r\n"),
    line(
      "chunks",
      `${POST}transfer-encoding: chunked\r\n\r\n`,
      `10000\r\n${" ".repeat(65_536)}\r\n`.repeat(64),
    ),
    line(
      "extensions",
      `${POST}transfer-encoding: chunked\r\n\r\n`,
      `1;${"e".repeat(200)}\r\n \r\n`.repeat(1000),
    ),
  ],
  smuggle: [
    line(
      "length and chunks",
      `${POST}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    ),
    line("two lengths", `${POST}content-length: 0\r\ncontent-length: 45\r\n\r\n`),
    line("lengths in one", `${POST}content-length: 0, 45\r\n\r\n`),
    line("a signed length", `${POST}content-length: +0\r\n\r\n`),
    line("a folded field", `${POST}x: y\r\n transfer-encoding: chunked\r\n\r\n`),
    line("a blank before the colon", `${POST}transfer-encoding : chunked\r\n\r\n0\r\n\r\n`),
    line("other codings", `${POST}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n`),
    line("a bare LF", "POST /v3/kv/put HTTP/1.1\nhost: localhost\n\n"),
    line("a chunk of 0x", `${POST}transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n`),
    line("two hosts", `${POST}host: other\r\n\r\n`),
    line("a NUL", `${POST}x: \0\r\n\r\n`),
  ].map(({ name, head }) => line(name, head, HIDDEN)),
  pipeline: [line("requests", "", `${GET}\r\n`.repeat(5000))],
  bodies: [
    line("body", `${POST}content-length: ${BODY_BYTES}\r\n\r\n`, Buffer.alloc(BODY_BYTES - 1, " ")),
  ],
};

await runAttack(async (attack) => {
  const [which = "slow", connections = "100"] = attack.args;
  const lines = ATTACKS[which];
  if (lines === undefined) throw new Error(`no such attack: ${which}`);
  attack.begin();
  const places = Array.from({ length: Number(connections) }, (_, place) => place);
  await Promise.all(
    places.map(async (place) => {
      for (let round = 0; !attack.over; round++) {
        await strike(attack, lines[(place + round) % lines.length] as Line);
      }
    }),
  );
});

/** One connection, until the server or the time ends it. */
async function strike(attack: Attack, { name, head, rest, dribbles }: Line): Promise<void> {
  const over = Promise.withResolvers<void>();
  let unsent = rest;
  let answered = "";
  const send = (socket: Bun.Socket): void => {
    const piece = dribbles ? unsent.subarray(0, 1) : unsent;
    const sent = Math.max(0, socket.write(piece));
    unsent = unsent.subarray(sent);
  };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: attack.port,
    socket: {
      data: (_socket, bytes) => {
        answered += bytes.toString("latin1");
        if (answered.length > 100_000) answered = answered.slice(-1000);
      },
      drain: send,
      close: () => over.resolve(),
      error: () => over.resolve(),
    },
  });
  attack.count(name);
  socket.write(head);
  const timer = dribbles ? setInterval(() => send(socket), DRIBBLE_MS) : undefined;
  if (!dribbles) send(socket);
  await Promise.race([over.promise, Bun.sleep(attack.leftMs)]);
  clearInterval(timer);
  for (const [, status] of answered.matchAll(/HTTP\/1\.1 (\d{3}) /g)) attack.end(status as string);
  if (attack.over) attack.end("still open");
  socket.terminate();
}
