/**
 * Load from outside: h2load (nghttp2) sends one gRPC request over and over. It belongs to neither
 * server, speaks HTTP/2 as any client does, and writes down the time of every request.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ByteWriter } from "../src/base/bytes.ts";
import type { MethodType } from "../src/proto/message.ts";

export interface Load {
  readonly requests: number;
  readonly connections: number;
  /** Requests in flight on each connection. */
  readonly streams: number;
}

/** Microseconds, and requests per second over the whole run. */
export interface Measured {
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

/** One gRPC message, as the body of a request. */
export function grpcBody<Request>(
  method: MethodType<Request, unknown>,
  request: Partial<Request>,
): Uint8Array {
  const out = new ByteWriter();
  out.u8(0);
  out.u32(0);
  method.request.encode(method.request.create(request), out);
  out.bytes.writeUInt32BE(out.length - 5, 1);
  return out.copy();
}

/** What a request carries beside its body, and how. */
export interface Wrapping {
  /** By TLS; the server's certificate is not looked at. */
  readonly secure?: boolean;
  /** A token of the one who asks. */
  readonly token?: string;
}

/** Sends `body` to a method as fast as the load allows; fails unless every answer is a 200. */
export async function h2load(
  address: string,
  path: string,
  body: Uint8Array,
  load: Load,
  { secure = false, token }: Wrapping = {},
): Promise<Measured> {
  const directory = mkdtempSync(join(tmpdir(), "aether-bench-"));
  const bodyFile = join(directory, "body");
  const logFile = join(directory, "log");
  try {
    await Bun.write(bodyFile, body);
    const child = Bun.spawn(
      [
        ...["h2load", "-n", `${load.requests}`, "-c", `${load.connections}`],
        ...["-m", `${load.streams}`, "-d", bodyFile, `--log-file=${logFile}`],
        ...["-H", "content-type: application/grpc", "-H", "te: trailers"],
        ...(token === undefined ? [] : ["-H", `token: ${token}`]),
        `${secure ? "https" : "http"}://${address}${path}`,
      ],
      { stdout: "pipe", stderr: "pipe" },
    );
    const [text, complaints] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    if ((await child.exited) !== 0) throw new Error(`h2load failed: ${complaints}${text}`);
    const rate = Number(/([\d.]+) req\/s/.exec(text)?.[1]);
    const succeeded = Number(/(\d+) succeeded/.exec(text)?.[1]);
    if (succeeded !== load.requests) throw new Error(`not every request succeeded:\n${text}`);
    return { rate, ...percentiles(await Bun.file(logFile).text()) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** h2load's log: start, status, microseconds to the end of the response. */
function percentiles(log: string): Omit<Measured, "rate"> {
  const micros: number[] = [];
  for (const line of log.split("\n")) {
    if (line === "") continue;
    const [, status, time] = line.split("\t");
    if (status !== "200") throw new Error(`an answer was ${status}`);
    micros.push(Number(time));
  }
  micros.sort((a, b) => a - b);
  const at = (part: number): number => micros[Math.floor((micros.length - 1) * part)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999) };
}
