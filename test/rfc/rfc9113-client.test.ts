/**
 * RFC 9113 where the executable is the client: `aether ctl get` against servers of raw frames. The
 * same client calls the other members of a cluster. Requirements: requirements.ts.
 */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AETHER, freePort } from "../support/processes.ts";
import { message } from "./kit/grpc.ts";
import { block, type Field } from "./kit/hpack.ts";
import { type Caller, endsStream, rawServer } from "./kit/raw-server.ts";
import * as wire from "./kit/wire.ts";
import { Code, codeName, data, Flag, type Frame, headers, Setting, Type } from "./kit/wire.ts";

/** What a command said in the end. */
interface Said {
  readonly out: string;
  readonly status: number;
}

const TRAILERS: readonly Field[] = [["grpc-status", "0"]];
const HEAD: readonly Field[] = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];
const WHOLE = Flag.END_HEADERS | Flag.END_STREAM;
/** A RangeResponse with the value "v" of the key "k". */
const FOUND = message(Buffer.from([0x12, 6, 0x0a, 1, 0x6b, 0x2a, 1, 0x76, 0x20, 1]));

function goodAnswer(id: number): Buffer[] {
  return [headers(id, block(HEAD)), data(id, FOUND), headers(id, block(TRAILERS), WHOLE)];
}

/** Gets the key "k"; it tries for five seconds, or until `over`. */
async function get(
  endpoint: string,
  flags: readonly string[],
  over?: Promise<unknown>,
): Promise<Said> {
  const words = ["ctl", "--endpoints", endpoint, "--command-timeout", "5s", ...flags];
  const child = Bun.spawn([AETHER, ...words, "get", "k"], { stdout: "pipe", stderr: "ignore" });
  void over?.then(() => child.kill());
  const out = await new Response(child.stdout).text();
  return { out, status: await child.exited };
}

/**
 * Runs the command against a script: only the first connection runs it, others are cut. A command
 * that would try on is ended with its script.
 */
async function against(
  script: (caller: Caller) => Promise<void>,
  end: "by itself" | "with its script" = "by itself",
): Promise<Said> {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  let count = 0;
  await using server = await rawServer(async (caller) => {
    if (count++ === 0) await script(caller).finally(resolve);
    caller.end();
  });
  const endpoint = `http://127.0.0.1:${server.port}`;
  return await get(endpoint, [], end === "by itself" ? undefined : over);
}

/** Reads until the request is whole; its HEADERS. */
async function request(caller: Caller): Promise<Frame> {
  let head: Frame | undefined;
  for (;;) {
    const frame = await caller.next();
    if (frame === undefined) throw new Error("the client went before its request was whole");
    if (frame.type === Type.HEADERS) head = frame;
    if (head !== undefined && endsStream(frame)) return head;
  }
}

/** The code of the client's GOAWAY, or "none" if it went without. */
async function goaway(caller: Caller): Promise<string> {
  const frame = await caller.of(Type.GOAWAY);
  return frame === undefined ? "none" : codeName(frame.payload.readUInt32BE(4));
}

describe("RFC 9113 as a client", () => {
  test("§3.4-1 §5.1.1-1 §8.3.1-2 preface, SETTINGS, a good request", async () => {
    let fields: readonly Field[] = [];
    const said = await against(async (caller) => {
      const first = await caller.greet();
      expect((await caller.preface).equals(wire.PREFACE)).toBe(true);
      expect(first).toMatchObject({ type: Type.SETTINGS, flags: 0, id: 0 });
      const head = await request(caller);
      expect(head).toMatchObject({ id: 1, reserved: false });
      fields = caller.fieldsOf(head);
      caller.send(...goodAnswer(1));
      await caller.next();
    });
    expect(said).toEqual({ out: "k\nv\n", status: 0 });
    const names = fields.map(([name]) => name);
    expect(names.slice(0, 4).sort()).toEqual([":authority", ":method", ":path", ":scheme"]);
    expect(names.slice(4).filter((name) => !/^[a-z][a-z-]*$/.test(name))).toEqual([]);
  });

  test("§8.1-5 an answer before RST_STREAM NO_ERROR is not discarded", async () => {
    const said = await against(async (caller) => {
      await caller.greet();
      await request(caller);
      caller.send(...goodAnswer(1), wire.reset(1, Code.NO_ERROR));
      await caller.next();
    });
    expect(said).toEqual({ out: "k\nv\n", status: 0 });
  });

  const malformed: readonly (readonly [
    what: string,
    head: readonly Field[],
    tail: readonly Field[],
  ])[] = [
    ["a name in upper case", [...HEAD, ["X-Upper", "1"]], TRAILERS],
    ["a value with LF", [...HEAD, ["x-a", "1\n2"]], TRAILERS],
    ["no :status", [["content-type", "application/grpc"]], TRAILERS],
    ["two of them", [[":status", "200"], ...HEAD], TRAILERS],
    ["a pseudo field of requests", [[":path", "/"], ...HEAD], TRAILERS],
    ["a pseudo field behind the others", [["x-a", "1"], ...HEAD], TRAILERS],
    ["a field of the connection", [...HEAD, ["connection", "close"]], TRAILERS],
    ["pseudo fields in trailers", HEAD, [...TRAILERS, [":status", "200"]]],
    ["less content than its length", [...HEAD, ["content-length", "900"]], TRAILERS],
    ["more content than its length", [...HEAD, ["content-length", "3"]], TRAILERS],
  ];
  test.each(malformed)(
    "§8.1.1-3 a malformed answer is not accepted: %s",
    async (_w, head, tail) => {
      let code = "nothing";
      const said = await against(async (caller) => {
        await caller.greet();
        const { id } = await request(caller);
        const trailers = headers(id, block(tail), WHOLE);
        caller.send(headers(id, block(head)), data(id, FOUND), trailers);
        const reset = await caller.of(Type.RST_STREAM);
        if (reset !== undefined) code = codeName(reset.payload.readUInt32BE(0));
      });
      expect(said).toEqual({ out: "", status: 1 });
      expect(code).toBe("PROTOCOL_ERROR");
    },
  );

  const breaches: readonly (readonly [what: string, code: string, ...bytes: Buffer[]])[] = [
    ["§6.5.2-6 ENABLE_PUSH 1", "PROTOCOL_ERROR", wire.settings([Setting.ENABLE_PUSH, 1])],
    [
      "§6.5.2-2 a promise, though push is off",
      "PROTOCOL_ERROR",
      wire.frame(
        Type.PUSH_PROMISE,
        Flag.END_HEADERS,
        1,
        Buffer.concat([wire.uint32(2), block([[":method", "GET"]])]),
      ),
    ],
    ["HEADERS on a stream of the server's", "PROTOCOL_ERROR", headers(2, block(HEAD))],
    ["DATA on an idle stream", "PROTOCOL_ERROR", data(7, "x")],
    ["a block that cannot be decoded", "COMPRESSION_ERROR", headers(1, Buffer.from([0x80]))],
    ["a PING of seven bytes", "FRAME_SIZE_ERROR", wire.frame(Type.PING, 0, 0, Buffer.alloc(7))],
  ];
  test.each(breaches)("%s is %s", async (_what, code, ...bytes) => {
    let seen = "nothing";
    await against(async (caller) => {
      await caller.greet();
      await request(caller);
      caller.send(...bytes);
      seen = await goaway(caller);
    }, "with its script");
    expect(seen).toBe(code);
  });

  test("an answer may say its length", async () => {
    const said = await against(async (caller) => {
      await caller.greet();
      await request(caller);
      const long: Field = ["content-length", `${FOUND.length}`];
      caller.send(headers(1, block([...HEAD, long])), ...goodAnswer(1).slice(1));
      await caller.next();
    });
    expect(said).toEqual({ out: "k\nv\n", status: 0 });
  });

  test("§6.8-1 no new stream after GOAWAY: the request goes to another connection", async () => {
    const first: Frame[] = [];
    let count = 0;
    await using server = await rawServer(async (caller) => {
      await caller.greet();
      const { id } = await request(caller);
      if (count++ > 0) caller.send(...goodAnswer(id));
      else caller.send(wire.goaway(0, Code.NO_ERROR));
      for (;;) {
        const frame = await caller.next();
        if (frame === undefined) return;
        if (count === 1 && frame.type === Type.HEADERS) first.push(frame);
      }
    });
    const said = await get(`http://127.0.0.1:${server.port}`, []);
    expect(said).toEqual({ out: "k\nv\n", status: 0 });
    expect(first).toEqual([]);
    expect(count).toBeGreaterThan(1);
  });

  test("§5.2.1-1 §5.1.2-1 the server's windows and limits hold the client back", async () => {
    const order: string[] = [];
    const said = await against(async (caller) => {
      await caller.greet([Setting.INITIAL_WINDOW_SIZE, 0], [Setting.MAX_CONCURRENT_STREAMS, 0]);
      caller.send(wire.ping("no yet  "));
      await caller.of(Type.PING);
      order.push("limit raised");
      caller.send(wire.settings([Setting.MAX_CONCURRENT_STREAMS, 1]));
      const head = await caller.of(Type.HEADERS);
      order.push("HEADERS", "window given");
      caller.send(wire.windowUpdate(head?.id ?? 0, 100));
      const content = await caller.of(Type.DATA);
      order.push(`DATA ${content?.payload.length}`);
      caller.send(...goodAnswer(1));
      await caller.next();
    });
    expect(order).toEqual(["limit raised", "HEADERS", "window given", "DATA 8"]);
    expect(said).toEqual({ out: "k\nv\n", status: 0 });
  });

  test("§9.2-3 the server's name goes with the TLS greeting", async () => {
    const directory = mkdtempSync(join(tmpdir(), "aether-rfc-sni-"));
    const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
    const made = Bun.spawnSync([
      ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
      ...["-nodes", "-days", "9", "-subj", "/CN=localhost", "-keyout", key, "-out", cert],
      ...["-addext", "subjectAltName=DNS:localhost"],
    ]);
    expect(made.success).toBe(true);
    const port = await freePort();
    const witness = Bun.spawn(
      [
        ...["openssl", "s_server", "-accept", `${port}`, "-alpn", "h2", "-cert", cert, "-key", key],
        ...["-servername", "localhost", "-cert2", cert, "-key2", key],
      ],
      { stdin: "pipe", stdout: "pipe", stderr: "ignore" },
    );
    const told = witness.stdout.getReader();
    await told.read(); // "ACCEPT"
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const command = get(`https://localhost:${port}`, ["--cacert", cert], over);
    let said = "";
    for (let piece = await told.read(); !piece.done; piece = await told.read()) {
      said += Buffer.from(piece.value).toString();
      if (said.includes("PRI * HTTP/2.0")) break;
    }
    resolve();
    await command;
    witness.kill();
    await witness.exited;
    rmSync(directory, { recursive: true });
    expect(said).toContain('Hostname in TLS extension: "localhost"');
  });
});
