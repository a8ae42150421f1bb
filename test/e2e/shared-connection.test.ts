/** Calls that share a connection get their own answers, whatever is answered beside them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { grpcBody } from "../../bench/h2load.ts";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { KV, RangeResponse } from "../../src/proto/gen/etcdserverpb.ts";
import { type ServerProcess, startAether } from "../support/processes.ts";

/** Nothing waits for the client. */
const WINDOW_BYTES = 2 ** 30;

let server: ServerProcess;
beforeAll(async () => {
  server = await startAether();
});
afterAll(() => server[Symbol.asyncDispose]());

const base64 = (text: string): string => Buffer.from(text).toString("base64");

function post(path: string, body: object): string {
  const text = JSON.stringify(body);
  const head = `POST /v3/${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${text.length}`;
  return `${head}\r\n\r\n${text}`;
}

/** Sends requests in one piece; the bodies of so many answers. */
function pipelined(requests: readonly string[]): Promise<Record<string, unknown>[]> {
  const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>[]>();
  const { host, port } = { host: "127.0.0.1", port: server.port };
  const socket = connect({ host, port }, () => socket.write(requests.join("")));
  let text = "";
  socket.on("data", (chunk) => {
    text += String(chunk);
    const bodies = text.split(/HTTP\/1\.1 200 OK\r\n(?:[^\r\n]+\r\n)*\r\n/).slice(1);
    if (bodies.length < requests.length || bodies.at(-1)?.endsWith("}") !== true) return;
    socket.destroy();
    resolve(bodies.map((body) => JSON.parse(body) as Record<string, unknown>));
  });
  socket.once("error", reject);
  return promise;
}

test("pipelined: what a put answers is not in the answer of the read behind it", async () => {
  const put = post("kv/put", { key: base64("mine"), value: base64("1"), prev_kv: true });
  const read = post("kv/range", { key: base64("other"), serializable: true });
  await pipelined([put]);
  const [first, second] = await pipelined([put, read]);
  expect(first).toHaveProperty("prev_kv");
  expect(Object.keys(second ?? {})).toEqual(["header"]);
});

/** The bytes of so many answers to one request, over one connection that has all the window. */
async function together(path: string, body: Uint8Array, count: number): Promise<Buffer[]> {
  const settings = { initialWindowSize: WINDOW_BYTES };
  const session = connectHttp2(`http://${server.endpoint}`, { settings });
  await once(session, "connect");
  session.setLocalWindowSize(WINDOW_BYTES);
  const fields = { ":method": "POST", ":path": path, "content-type": "application/grpc" };
  const answers = Array.from({ length: count }, async () => {
    const stream = session.request({ ...fields, te: "trailers" });
    stream.end(body);
    return Buffer.concat(await Array.fromAsync(stream));
  });
  const all = await Promise.all(answers);
  session.close();
  return all;
}

test("large ranges over one connection are each whole", async () => {
  const client = new EtcdClient({ endpoints: [server.endpoint], timeoutMs: 30_000 });
  const value = Buffer.alloc(1024, "v");
  const names = Array.from({ length: 4000 }, (_, n) => `large/${n}`);
  await Promise.all(names.map((name) => client.put(name, value)));
  client.close();
  const body = grpcBody(KV.Range, { key: "large/", rangeEnd: "large0" });
  const answers = await together(KV.Range.path, body, 8);
  for (const answer of answers) {
    const { kvs } = RangeResponse.decode(answer, 5, answer.length);
    expect(kvs).toHaveLength(names.length);
    expect(kvs.every((kv) => value.equals(kv.value))).toBe(true);
  }
});
