/**
 * One server as the model tests see it: unary calls with their answers as plain data, and a watch
 * stream whose responses are kept. Written on @grpc/grpc-js and @grpc/proto-loader over proto/,
 * so it shares no code with the server or with our client.
 */
import { join } from "node:path";
import type { GrpcObject, ServiceError } from "@grpc/grpc-js";
import { type ClientDuplexStream, credentials, loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { until } from "../support/processes.ts";
import type { UnaryRequest, WatchBody } from "./requests.ts";

/** Messages as proto-loader makes them: longs are strings, bytes are Latin-1 strings here. */
export type Plain = null | boolean | number | string | Plain[] | { [name: string]: Plain };

/** The outcome of a call: a status, and the message if it is OK. */
export interface Answer {
  readonly code: number;
  readonly message: string;
  readonly body: { readonly [name: string]: Plain };
}

type Unary = (
  request: unknown,
  options: { deadline: number },
  done: (error: ServiceError | null, response: unknown) => void,
) => void;

type Client = { [method: string]: Unary } & {
  Watch(): ClientDuplexStream<unknown, unknown>;
  close(): void;
};

/** No call of a test takes this long unless the server hangs. */
const CALL_MS_MAX = 10_000;

const definition = loadSync("etcdserverpb/rpc.proto", {
  includeDirs: [join(import.meta.dir, "../../proto")],
  longs: String,
  defaults: true,
  arrays: true,
  oneofs: true,
});
const services = loadPackageDefinition(definition).etcdserverpb as GrpcObject;

function clientOf(service: string, endpoint: string): Client {
  const Service = services[service] as unknown as new (
    address: string,
    secret: ReturnType<typeof credentials.createInsecure>,
    options: Record<string, number>,
  ) => Client;
  const options = { "grpc.max_receive_message_length": -1 };
  return new Service(endpoint, credentials.createInsecure(), options);
}

export class Endpoint {
  readonly name: string;
  readonly #clients: Readonly<Record<"KV" | "Lease" | "Watch", Client>>;

  /** `name` is for reports; `address` is host:port. */
  constructor(name: string, address: string) {
    this.name = name;
    this.#clients = {
      KV: clientOf("KV", address),
      Lease: clientOf("Lease", address),
      Watch: clientOf("Watch", address),
    };
  }

  /** Sends a unary request; a refusal is an answer too. */
  call(request: UnaryRequest): Promise<Answer> {
    const client = request.rpc.startsWith("Lease") ? this.#clients.Lease : this.#clients.KV;
    const body = toWire(request.body);
    const deadline = Date.now() + CALL_MS_MAX;
    return new Promise((resolve) => {
      client[request.rpc]?.(body, { deadline }, (error, response) => {
        if (error === null) {
          resolve({ code: 0, message: "", body: toPlain(response) as Answer["body"] });
        } else resolve({ code: error.code, message: error.details, body: {} });
      });
    });
  }

  openWatch(): WatchSession {
    return new WatchSession(this.name, this.#clients.Watch.Watch());
  }

  close(): void {
    for (const client of Object.values(this.#clients)) client.close();
  }
}

/** Responses of one watch stream, in order; one request at a time is answered. */
export class WatchSession {
  readonly responses: Answer["body"][] = [];
  readonly #name: string;
  readonly #stream: ClientDuplexStream<unknown, unknown>;
  #error: ServiceError | undefined = undefined;

  constructor(name: string, stream: ClientDuplexStream<unknown, unknown>) {
    this.#name = name;
    this.#stream = stream;
    stream.on("data", (response) => this.responses.push(toPlain(response) as Answer["body"]));
    stream.on("error", (error: ServiceError) => {
      this.#error = error;
    });
  }

  /** Creates a watcher; returns the created response (which may be a refusal). */
  async create(body: WatchBody): Promise<Answer["body"]> {
    const isCreated = (response: Answer["body"]): boolean => response.created === true;
    const before = this.responses.filter(isCreated).length;
    this.#stream.write({ createRequest: toWire(body) });
    await this.until("watch created", () => this.responses.filter(isCreated).length > before);
    return this.responses.filter(isCreated)[before] as Answer["body"];
  }

  cancel(watchId: number): void {
    this.#stream.write({ cancelRequest: { watchId } });
  }

  requestProgress(): void {
    this.#stream.write({ progressRequest: {} });
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    await until(
      `${this.#name}: ${what}`,
      () => {
        if (this.#error !== undefined) throw this.#error;
        return holds();
      },
      CALL_MS_MAX,
    );
  }

  close(): void {
    this.#stream.removeAllListeners("error");
    this.#stream.on("error", () => undefined); // the cancellation itself
    this.#stream.cancel();
  }
}

/**
 * Latin-1 strings of byte fields become buffers; every string in a request is one. An empty
 * rangeEnd is left out, as every canonical encoder does: written out on the wire, it means "to the
 * end of the key space" to etcd, since Go tells an empty slice from a missing one.
 */
function toWire(value: unknown): unknown {
  if (typeof value === "string") return Buffer.from(value, "latin1");
  if (Array.isArray(value)) return value.map(toWire);
  if (value === null || typeof value !== "object") return value;
  const present = Object.entries(value).filter(([name, one]) => name !== "rangeEnd" || one !== "");
  return Object.fromEntries(present.map(([name, one]) => [name, toWire(one)]));
}

function toPlain(value: unknown): Plain {
  if (Buffer.isBuffer(value)) return value.toString("latin1");
  if (Array.isArray(value)) return value.map(toPlain);
  if (value === null || typeof value !== "object") return value as Plain;
  const entries = Object.entries(value).map(([name, one]) => [name, toPlain(one)]);
  return Object.fromEntries(entries);
}
