/**
 * What framing costs: unary calls from received bytes to answer bytes, without socket and state.
 * One connection is fed what h2load sends, 50 streams at a time; a canned handler answers at once.
 *
 *   bun bench/wire-grpc.ts [requests = 2,000,000] [streams = 50]
 */
import { cpus, loadavg } from "node:os";
import { ByteWriter } from "../src/base/bytes.ts";
import { GrpcServer } from "../src/wire/grpc/grpc-server.ts";
import { GrpcServerConnection } from "../src/wire/grpc/server-connection.ts";
import { GrpcCode } from "../src/wire/grpc/status.ts";
import { HpackEncoder } from "../src/wire/hpack/encoder.ts";
import { PREFACE } from "../src/wire/http2/protocol.ts";

const requestCount = Number(process.argv[2] ?? 2_000_000);
const streamCount = Number(process.argv[3] ?? 50);
const PATH = "/etcdserverpb.KV/Range";
const ANSWER = Buffer.alloc(28, 7);
const MESSAGE = Buffer.from("\n\u0003foo", "latin1");

/** As nghttp2 writes it: path and content-length never enter the table, all else does. */
function requestBlock(encoder: HpackEncoder): Buffer {
  const out = new ByteWriter();
  const fields = [
    ...[":path", PATH, ":scheme", "http", ":authority", "127.0.0.1:2379", ":method", "POST"],
    ...["user-agent", "h2load nghttp2/1.52.0", "content-type", "application/grpc"],
    ...["te", "trailers", "content-length", String(MESSAGE.length + 5)],
  ];
  encoder.encode(fields, out);
  return Buffer.from(out.view());
}

function frame(type: number, flags: number, id: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(id, 5);
  return Buffer.concat([header, payload]);
}

/** HEADERS and DATA of `streamCount` requests, and where their stream ids stand. */
function buildTurn(block: Buffer): { bytes: Buffer; idsAt: number[] } {
  const data = Buffer.concat([Buffer.from([0, 0, 0, 0, MESSAGE.length]), MESSAGE]);
  const parts: Buffer[] = [];
  const idsAt: number[] = [];
  let at = 0;
  for (const kind of ["headers", "data"]) {
    for (let index = 0; index < streamCount; index++) {
      const part = kind === "headers" ? frame(1, 4, 0, block) : frame(0, 1, 0, data);
      idsAt.push(at + 5);
      at += part.length;
      parts.push(part);
    }
  }
  return { bytes: Buffer.concat(parts), idsAt };
}

function run(): void {
  const server = new GrpcServer({
    methods: [{ path: PATH, unary: (call) => call.reply(ANSWER, 0, ANSWER.length) }],
    mapError: (error) => ({ code: GrpcCode.INTERNAL, message: String(error) }),
  });
  const connection = new GrpcServerConnection(server, { peer: "bench", nowMs: 0 });
  const encoder = new HpackEncoder({
    indexing: (name) => (name === ":path" || name === "content-length" ? "plain" : "index"),
  });
  const first = requestBlock(encoder);
  const opening = Buffer.concat([PREFACE, frame(4, 0, 0, Buffer.alloc(0)), frame(1, 5, 1, first)]);
  connection.receive(opening, 0);
  const { bytes, idsAt } = buildTurn(requestBlock(encoder));
  const credit = Buffer.alloc(4);
  credit.writeUInt32BE((ANSWER.length + 5) * streamCount);
  const update = frame(8, 0, 0, credit);

  const turns = Math.ceil(requestCount / streamCount);
  const turnNs = new Float64Array(turns);
  let answered = 0;
  let hash = 0n;
  let id = 3;
  for (let turn = 0; turn < turns; turn++) {
    for (let index = 0; index < streamCount; index++, id += 2) {
      bytes.writeUInt32BE(id, idsAt[index] as number);
      bytes.writeUInt32BE(id, idsAt[index + streamCount] as number);
    }
    const start = Bun.nanoseconds();
    connection.receive(bytes, turn);
    turnNs[turn] = Bun.nanoseconds() - start;
    const { output } = connection;
    answered += output.pending;
    if (turn % 1000 === 0)
      hash ^= Bun.hash(output.bytes.subarray(output.start, output.end)) as bigint;
    output.advance(output.pending);
    connection.receive(update, turn);
  }
  connection.verify();
  if (connection.closing) throw new Error(`the connection ended: ${connection.reason}`);
  report(turnNs, answered, hash);
}

function report(turnNs: Float64Array, answeredBytes: number, hash: bigint): void {
  const total = turnNs.reduce((sum, ns) => sum + ns, 0);
  const requests = turnNs.length * streamCount;
  const sorted = turnNs.toSorted();
  const at = (part: number): number =>
    Math.round((sorted[Math.floor(sorted.length * part)] as number) / streamCount);
  console.log(
    JSON.stringify({
      bench: "wire-grpc",
      requests,
      streams: streamCount,
      perSecond: Math.round((requests / total) * 1e9),
      nsPerRequest: Math.round(total / requests),
      p50: at(0.5),
      p99: at(0.99),
      answeredBytes,
      hash: hash.toString(16),
      cpu: cpus()[0]?.model,
      load: loadavg()[0],
    }),
  );
}

run();
