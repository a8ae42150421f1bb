/** Streams as people and browsers use them: curl over both HTTPs, bare sockets, WebSockets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { parseMetrics } from "../e2e/prometheus.ts";
import { type ServerProcess, startAether, until } from "../support/processes.ts";

const KEY = Buffer.from("foo").toString("base64");
const CREATE = JSON.stringify({ create_request: { key: KEY } });

let server: ServerProcess;
beforeAll(async () => {
  server = await startAether();
});
afterAll(() => server[Symbol.asyncDispose]());

async function post(path: string, body: unknown): Promise<Record<string, unknown>> {
  const url = `http://${server.endpoint}/v3/${path}`;
  const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  return (await response.json()) as Record<string, unknown>;
}

const put = (value: string) => post("kv/put", { key: KEY, value: btoa(value) });

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`http://${server.endpoint}/metrics`)).text();
  return parseMetrics(text).samples.get(name) ?? 0;
}

/** Watchers that the server has. */
const watchers = (): Promise<number> => metric("etcd_debugging_mvcc_watcher_total");

const noWatchers = (): Promise<void> =>
  until("no watchers are left", async () => (await watchers()) === 0);

/** Lines as they come from a stream. */
async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const piece of stream) {
    text += decoder.decode(piece, { stream: true });
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n")) {
      yield text.slice(0, at);
      text = text.slice(at + 1);
    }
  }
}

interface Result {
  readonly result: {
    readonly created?: boolean;
    readonly events?: readonly { readonly kv: { readonly value: string } }[];
  };
}

/** The values of the events of a line. */
function valuesOf(line: string): string[] {
  const { result } = JSON.parse(line) as Result;
  return (result.events ?? []).map(({ kv }) => atob(kv.value));
}

for (const protocol of ["--http1.1", "--http2-prior-knowledge"]) {
  describe(`curl ${protocol}`, () => {
    const curl = (path: string, body: string) =>
      Bun.spawn(["curl", "-sN", protocol, `http://${server.endpoint}/v3/${path}`, "-d", body], {
        stdout: "pipe",
      });

    test("a watch goes on after its request, and ends with its client", async () => {
      await noWatchers();
      const client = curl("watch", CREATE);
      const lines = linesOf(client.stdout);
      expect(JSON.parse((await lines.next()).value ?? "").result.created).toBe(true);
      for (const value of ["1", "2"]) {
        await put(value);
        expect(valuesOf((await lines.next()).value ?? "")).toEqual([value]);
      }
      expect(await watchers()).toBe(1);
      client.kill();
      await noWatchers();
    });

    test("renewals of a whole body end by themselves", async () => {
      await post("lease/grant", { ID: 5, TTL: 600 });
      const client = curl("lease/keepalive", '{"ID":5}{"ID":"5"} {"ID":6}');
      const text = await new Response(client.stdout).text();
      const lines = text.trim().split("\n");
      expect(lines.map((line) => JSON.parse(line).result.TTL)).toEqual(["600", "600", undefined]);
      expect(await client.exited).toBe(0);
      await post("lease/revoke", { ID: 5 });
    });

    test("a snapshot is whole", async () => {
      const client = curl("maintenance/snapshot", "");
      let size = 0;
      let left = "";
      for await (const line of linesOf(client.stdout)) {
        const { blob, remaining_bytes } = JSON.parse(line).result;
        size += Buffer.from(blob, "base64").length;
        left = remaining_bytes ?? "0";
      }
      expect([left, size % 4096]).toEqual(["0", 32]); // pages, and a checksum
    });
  });
}

/** A connection whose bytes are ours to say. */
class Raw {
  text = "";
  closed = false;
  readonly socket: Socket;

  constructor() {
    const [host = "", port = ""] = server.endpoint.split(":");
    this.socket = connect(Number(port), host);
    this.socket.on("data", (bytes) => {
      this.text += bytes.toString("latin1");
    });
    this.socket.on("close", () => {
      this.closed = true;
    });
    this.socket.on("error", () => {
      this.closed = true;
    });
  }

  post(path: string, body: string, ...fields: string[]): void {
    const head = [`POST ${path} HTTP/1.1`, "Host: localhost", ...fields];
    const length = `Content-Length: ${Buffer.byteLength(body)}`;
    this.socket.write(`${[...head, length].join("\r\n")}\r\n\r\n${body}`);
  }

  reads(what: string): Promise<void> {
    return until(`${what} in ${this.text}`, () => this.text.includes(what));
  }
}

describe("bare sockets", () => {
  test("several calls on one connection, one behind the other", async () => {
    const raw = new Raw();
    for (let count = 0; count < 3; count++) raw.post("/v3/kv/range", `{"key":"${KEY}"}`);
    await until("three answers", () => raw.text.split("HTTP/1.1 200 OK").length === 4);
    raw.post("/v3/kv/range", "{}");
    await raw.reads("key is not provided");
    expect(raw.closed).toBe(false);
    raw.socket.destroy();
  });

  test("a body in chunks, and one that waits for 100 Continue", async () => {
    const raw = new Raw();
    raw.socket.write(
      "POST /v3/kv/range HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    raw.socket.write(`8\r\n{"key":"\r\n6\r\n${KEY}"}\r\n0\r\n\r\n`);
    await raw.reads("HTTP/1.1 200 OK");
    raw.socket.write(
      "POST /v3/kv/range HTTP/1.1\r\nHost: localhost\r\n" +
        "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    );
    await raw.reads("100 Continue");
    raw.socket.write("{}");
    await raw.reads("key is not provided");
    raw.socket.destroy();
  });

  test("a watch is chunked, a line a chunk", async () => {
    const raw = new Raw();
    raw.post("/v3/watch", CREATE);
    await raw.reads('"created":true}}\n\r\n');
    expect(raw.text).toContain("transfer-encoding: chunked\r\n\r\n");
    raw.socket.destroy();
  });

  test("garbage of every kind is answered or cut off, and the server lives", async () => {
    const bodies = [
      ...["{".repeat(100_000), `{"a":${"[".repeat(100_000)}`, "\0\0", '{"key":"\xff\xfe"}', "}{"],
      ...['{"compare":[{"key":1}]}', '{"success":[[]]}', `{"key":"${"A".repeat(1_000_000)}`],
    ];
    for (const body of bodies) {
      for (const path of ["/v3/kv/txn", "/v3/watch", "/v3/lease/keepalive"]) {
        const raw = new Raw();
        raw.post(path, body, "Grpc-Timeout: 100m"); // a watch that was understood has no answer
        await until(`an answer to ${path}`, () => raw.closed || raw.text.includes("HTTP/1.1 "));
        raw.socket.destroy();
      }
    }
    const raw = new Raw();
    raw.post("/v3/kv/put", "x".repeat(3_000_000));
    await raw.reads("HTTP/1.1 413");
    expect((await fetch(`http://${server.endpoint}/health`)).status).toBe(200);
  });

  test("a reader that stops is bounded, and catches up", async () => {
    const raw = new Raw();
    raw.post("/v3/watch", CREATE);
    await raw.reads("created");
    raw.socket.pause();
    const value = "v".repeat(500_000);
    const count = 30; // 20 MB of JSON: more than the kernel and our marks hold
    for (let number = 0; number < count; number++) await put(`${number} ${value}`);
    const slow = (): Promise<number> => metric("etcd_debugging_mvcc_slow_watcher_total");
    await until("its watcher is behind", async () => (await slow()) === 1);
    raw.text = "";
    raw.socket.resume();
    await raw.reads(
      Buffer.from(`${count - 1} vvv`)
        .toString("base64")
        .slice(0, 6),
    );
    await until("it has caught up", async () => (await slow()) === 0);
    raw.socket.destroy();
    await post("kv/compaction", { revision: (await revision()) - 1 });
  }, 60_000);
});

async function revision(): Promise<number> {
  const { header } = await post("kv/range", { key: KEY });
  return Number((header as { revision: string }).revision);
}

describe("HTTP/2", () => {
  test("a body that goes on is answered meanwhile", async () => {
    const session = connectHttp2(`http://${server.endpoint}`);
    const stream = session.request({ ":method": "POST", ":path": "/v3/watch" });
    let text = "";
    stream.on("data", (bytes) => {
      text += String(bytes);
    });
    const lines = (): number => text.split("\n").length - 1;
    stream.write(CREATE);
    await until("the first watcher", () => lines() === 1);
    stream.write(CREATE.slice(0, 10));
    stream.write(CREATE.slice(10));
    await until("the second watcher", () => lines() === 2);
    expect(JSON.parse(text.split("\n")[1] ?? "").result).toMatchObject({
      ...{ watch_id: "1", created: true },
    });
    await put("h2");
    await until("an event for each", () => lines() === 4);
    stream.write('{"cancel_request":{}}');
    await until("the end of the first", () => text.includes('"canceled":true'));
    stream.end();
    await put("after the end of the body");
    await until("an event of the second", () => lines() === 6);
    stream.close();
    session.close();
  });

  test("as many calls at once as there are streams", async () => {
    const session = connectHttp2(`http://${server.endpoint}`);
    const answers = Array.from({ length: 200 }, () => {
      const stream = session.request({ ":method": "POST", ":path": "/v3/kv/range" });
      stream.end(`{"key":"${KEY}"}`);
      return new Promise<string>((resolve, reject) => {
        let text = "";
        stream.on("data", (bytes) => {
          text += String(bytes);
        });
        stream.on("end", () => resolve(text));
        stream.on("error", reject);
      });
    });
    for (const text of await Promise.all(answers)) expect(JSON.parse(text).count).toBe("1");
    session.close();
  });
});

describe("WebSockets", () => {
  async function open(path: string, protocols?: string[]) {
    const socket = new WebSocket(`ws://${server.endpoint}/v3/${path}`, protocols);
    const messages: string[] = [];
    const closed = Promise.withResolvers<number>();
    socket.onmessage = ({ data }) => messages.push(String(data));
    socket.onclose = ({ code }) => closed.resolve(code);
    const opened = Promise.withResolvers<void>();
    socket.onopen = () => opened.resolve();
    socket.onerror = () => opened.reject(new Error("no WebSocket"));
    await opened.promise;
    return { socket, messages, closed: closed.promise };
  }

  test("carry a watch: each message a part of the request, each line a message", async () => {
    await noWatchers();
    const { socket, messages, closed } = await open("watch");
    const cut = CREATE.indexOf(":") + 1; // not inside of a text: each message ends a line
    socket.send(CREATE.slice(0, cut));
    socket.send(CREATE.slice(cut));
    await until("the watcher", () => messages.length === 1);
    await put("ws");
    await until("the event", () => messages.length === 2);
    expect(valuesOf(messages[1] ?? "")).toEqual(["ws"]);
    socket.send(CREATE);
    await until("another watcher", () => messages.length === 3);
    socket.close(1000);
    expect(await closed).toBe(1000);
    await noWatchers();
  });

  test("carry a call with one answer, and say what is wrong with it", async () => {
    const one = await open("kv/range", ["Bearer", "token"]);
    expect(one.socket.protocol).toBe("Bearer");
    one.socket.send(`{"key":"${KEY}"}`);
    expect(await one.closed).toBe(1000);
    expect(JSON.parse(one.messages[0] ?? "").count).toBe("1");
    const torn = await open("kv/range");
    for (const part of ['{"ke', 'y":"YQ=="}']) torn.socket.send(part); // a line ends in a text
    await torn.closed;
    expect(JSON.parse(torn.messages[0] ?? "").code).toBe(3);
    const wrong = await open("nothing");
    expect(await wrong.closed).toBe(1000);
    expect(wrong.messages).toEqual(['{"code":5,"message":"Not Found"}']);
  });

  test("carry a large answer as one message", async () => {
    const value = "L".repeat(400_000);
    for (const name of ["a", "b", "c"]) {
      await post("kv/put", { key: btoa(`large ${name}`), value: btoa(value) });
    }
    const { socket, messages, closed } = await open("kv/range");
    socket.send(JSON.stringify({ key: btoa("large "), range_end: btoa("large!") }));
    await closed;
    expect(messages.length).toBe(1);
    const { kvs } = JSON.parse(messages[0] ?? "") as { kvs: { value: string }[] };
    expect(kvs.map((kv) => atob(kv.value) === value)).toEqual([true, true, true]);
  });

  test("are not spoken elsewhere, nor to who does not know how", async () => {
    const status = async (path: string, ...fields: string[]): Promise<string> => {
      const raw = new Raw();
      const head = [
        `GET ${path} HTTP/1.1`,
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
      ];
      raw.socket.write(`${[...head, ...fields].join("\r\n")}\r\n\r\n`);
      await raw.reads("\r\n\r\n");
      raw.socket.destroy();
      return raw.text.slice(9, 12);
    };
    const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    expect(await status("/health", key, "Sec-WebSocket-Version: 13")).toBe("200");
    expect(await status("/v3/watch", key)).toBe("400");
    expect(await status("/v3/watch", "Sec-WebSocket-Version: 13")).toBe("400");
    expect(await status("/v3/watch", key, "Sec-WebSocket-Version: 13")).toBe("101");
  });
});

test("a stop ends streams with a reason, and does not wait for them", async () => {
  const own = await startAether();
  const watch = await fetch(`http://${own.endpoint}/v3/watch`, { method: "POST", body: CREATE });
  const lines = linesOf(watch.body as ReadableStream<Uint8Array>);
  await lines.next();
  const idle = new WebSocket(`ws://${own.endpoint}/v3/kv/range`);
  const closed = Promise.withResolvers<number>();
  idle.onclose = ({ code }) => closed.resolve(code);
  await new Promise((resolve) => {
    idle.onopen = resolve;
  });
  const stopped = own.stop();
  expect(JSON.parse((await lines.next()).value ?? "")).toEqual({
    error: { code: 14, message: "etcdserver: server stopped" },
  });
  expect((await lines.next()).done).toBe(true);
  expect(await closed.promise).toBe(1001);
  await stopped;
  await own[Symbol.asyncDispose]();
});
