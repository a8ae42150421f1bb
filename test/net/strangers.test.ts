/** Programs from elsewhere against one listener: curl, h2load, and peers that misbehave. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Echo, type EchoServer, echoServer } from "./echo-server.ts";
import { rawClient } from "./raw-client.ts";
import { until } from "./until.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-strangers-"));
let server: EchoServer;

beforeAll(async () => {
  server = await echoServer();
});

afterAll(async () => {
  await server.listener.stop(0);
  rmSync(directory, { recursive: true, force: true });
});

/** The program's path, or undefined with a line that says what is skipped. */
function find(program: string): string | undefined {
  const path = Bun.which(program);
  if (path === null) console.log(`skipped: ${program} is not installed`);
  return path ?? undefined;
}

async function run(command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect([await child.exited, err.slice(0, 500)]).toEqual([0, ""]);
  return out;
}

const curl = find("curl");
const h2load = find("h2load");

describe.skipIf(curl === undefined)("curl", () => {
  const ask = (...flags: string[]): Promise<string> =>
    run([curl as string, "-sS", "--max-time", "4", ...flags, `http://${server.url}/hello`]);

  test("HTTP/1.1", async () => {
    expect(await ask("-w", " %{http_version} %{http_code}")).toBe("/hello 1.1 200");
  });

  test("HTTP/2 with prior knowledge", async () => {
    const flags = ["--http2-prior-knowledge", "-w", " %{http_version} %{http_code}"];
    expect(await ask(...flags)).toBe("/hello 2 200");
  });

  test("a body that is larger than any buffer, both protocols", async () => {
    const path = join(directory, "megabyte");
    writeFileSync(path, Buffer.alloc(1024 * 1024));
    for (const version of ["--http1.1", "--http2-prior-knowledge"]) {
      expect(await ask(version, "--data-binary", `@${path}`)).toBe("/hello");
    }
  });
});

describe.skipIf(h2load === undefined)("h2load", () => {
  test("10,000 gRPC requests on 20 connections, all answered", async () => {
    const path = join(directory, "body");
    writeFileSync(path, Buffer.from([0, 0, 0, 0, 3, 0x12, 1, 7]));
    const before = server.seen.calls;
    const out = await run([
      h2load as string,
      ...["-n", "10000", "-c", "20", "-m", "50", "-d", path],
      ...["-H", "content-type:application/grpc", "-H", "te:trailers"],
      `http://${server.url}${Echo.Unary.path}`,
    ]);
    expect(out).toContain("10000 succeeded, 0 failed, 0 errored, 0 timeout");
    expect(out).toContain("status codes: 10000 2xx, 0 3xx, 0 4xx, 0 5xx");
    expect(server.seen.calls - before).toBe(10_000);
  });
});

describe("peers that misbehave", () => {
  test("a preface that goes wrong half way gets GOAWAY and is closed", async () => {
    const client = await rawClient(server.listener.address);
    client.socket.write("PRI * HTTP/1.1\r\n\r\n");
    await until(() => client.closed(), "it is closed");
    expect(client.received()).toContain("\x07\x00\x00\x00\x00\x00"); // a GOAWAY frame
  });

  test("what is neither HTTP/1 nor HTTP/2 is refused and closed", async () => {
    for (const garbage of [
      "\x16\x03\x01\x02\x00\x01",
      "\0\0\0\0\0\0\0\0\r\n\r\n",
      "GARBAGE\r\n\r\n",
    ]) {
      const client = await rawClient(server.listener.address);
      client.socket.write(Buffer.from(`${garbage}\r\n\r\n`, "latin1"));
      await until(() => client.closed(), `${JSON.stringify(garbage)} is closed`);
      expect(client.received()).toMatch(/^(HTTP\/1.1 [45]\d\d |$)/);
    }
  });

  test("requests in single bytes are answered like others", async () => {
    const client = await rawClient(server.listener.address);
    for (const byte of "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n") {
      client.socket.write(byte);
      await Bun.sleep(0);
    }
    await until(() => client.received().endsWith("/slow"), "the answer");
    client.socket.end();
  });

  test("a thousand clients that leave in the middle of a call leave nothing behind", async () => {
    const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (let round = 0; round < 10; round++) {
      const clients = await Promise.all(
        Array.from({ length: 100 }, () => rawClient(server.listener.address)),
      );
      clients.forEach((client, i) => {
        client.socket.write(Buffer.from(preface.slice(0, i), "latin1"));
        if (i % 2 === 0) client.socket.terminate();
        else client.socket.end();
      });
    }
    await until(() => server.listener.connectionCount === 0, "all are gone");
    expect(server.network.linkCount).toBe(0);
  });

  test("one that asks and does not read costs bounded memory and disturbs nobody", async () => {
    const greedy = await rawClient(server.listener.address, true);
    greedy.socket.write(Buffer.from(`${PREFACE}${LARGE_WINDOWS}`, "latin1"));
    const body = Buffer.concat([Buffer.from([0, 0, 0, 0x3f, 0xf0]), Buffer.alloc(0x3ff0, 7)]);
    let offered = 0;
    let rest: Buffer = Buffer.alloc(0);
    for (let id = 1, still = 0; still < 20; ) {
      if (rest.length === 0) {
        rest = request(id, Echo.Unary.path, body);
        id += 2;
      }
      const taken = Math.max(greedy.socket.write(rest), 0);
      rest = rest.subarray(taken);
      offered += taken;
      if (rest.length > 0) await Bun.sleep(1);
      still = taken === 0 ? still + 1 : 0;
    }
    expect(offered).toBeGreaterThan(1024 * 1024);
    expect(offered).toBeLessThan(64 * 1024 * 1024);
    const connection = server.connections.at(-1);
    expect(connection?.paused).toBe(true);
    expect(connection?.output.bytes.length).toBeLessThan(32 * 1024 * 1024);
    const other = await rawClient(server.listener.address);
    const asked = performance.now();
    other.socket.write("GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
    await until(() => other.received().endsWith("/other"), "another is served");
    expect(performance.now() - asked).toBeLessThan(500);
    greedy.socket.terminate();
    other.socket.end();
    await until(() => server.listener.connectionCount === 0, "both are gone");
  });
});

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/** SETTINGS_INITIAL_WINDOW_SIZE 2^31-1, and as much for the connection: nothing holds us back. */
const LARGE_WINDOWS =
  "\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff" + "\0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0";

/** A whole gRPC request as HEADERS and DATA. */
function request(id: number, path: string, body: Buffer): Buffer {
  const fields = [":method", "POST", ":scheme", "http", ":path", path, ":authority", "a"];
  fields.push("te", "trailers", "content-type", "application/grpc");
  const block: number[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    block.push(0); // literal without indexing, new name (RFC 7541 §6.2.2)
    for (const text of [fields[i] as string, fields[i + 1] as string]) {
      block.push(text.length, ...Buffer.from(text, "latin1"));
    }
  }
  return Buffer.concat([frame(1, 4, id, Buffer.from(block)), frame(0, 1, id, body)]);
}

function frame(type: number, flags: number, id: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}
