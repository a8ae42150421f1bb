/**
 * Calls as bytes over @grpc/grpc-js: nothing between the wire and the comparison but the trees of
 * schema.ts. A refusal is an answer too.
 */
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
  type StatusObject,
} from "@grpc/grpc-js";
import { until } from "../support/processes.ts";
import { decode, encode, type Rpc, rpcOf, type Tree, type TreeMessage } from "./schema.ts";

export interface Answer {
  readonly code: number;
  readonly text: string;
  readonly messages: TreeMessage[];
  /** Metadata before and after the messages, without what HTTP itself needs. */
  readonly headers: { [name: string]: Tree };
  readonly trailers: { [name: string]: Tree };
}

export interface RawCall {
  readonly rpc: string;
  readonly bodies: readonly object[];
  readonly metadata?: { readonly [name: string]: string } | undefined;
  readonly take?: number | undefined;
  /** Appended to each request, as it is. */
  readonly appended?: string | undefined;
  readonly deadlineMs?: number;
}

/** No call of a test takes this long unless the server hangs. */
const CALL_MS_MAX = 15_000;
/** grpc-js' code of a call that was cancelled here. */
const CANCELLED = 1;
const DEADLINE_EXCEEDED = 4;

const asIs = (bytes: Buffer): Buffer => bytes;

export class RawClient {
  readonly #client: Client;

  /** `address` is host:port. */
  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /** Sends the requests, half-closes, and takes what comes until the call ends. */
  call(request: RawCall): Promise<Answer> {
    const rpc = rpcOf(request.rpc);
    const metadata = metadataOf(request.metadata);
    const deadline = Date.now() + (request.deadlineMs ?? CALL_MS_MAX);
    const stream = this.#client.makeBidiStreamRequest(rpc.path, asIs, asIs, metadata, { deadline });
    const tail = Buffer.from(request.appended ?? "", "latin1");
    for (const body of request.bodies) {
      stream.write(Buffer.concat([encode(rpc.request, body), tail]));
    }
    stream.end();
    return collect(rpc, stream, { take: request.take, deadline });
  }

  openWatch(name: string, metadata?: RawCall["metadata"]): WatchSession {
    const rpc = rpcOf("Watch/Watch");
    const stream = this.#client.makeBidiStreamRequest(
      rpc.path,
      asIs,
      asIs,
      metadataOf(metadata),
      {},
    );
    return new WatchSession(name, rpc, stream);
  }

  close(): void {
    this.#client.close();
  }
}

function metadataOf(pairs: RawCall["metadata"]): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(pairs ?? {})) metadata.set(name, value);
  return metadata;
}

function collect(
  rpc: Rpc,
  stream: ClientDuplexStream<Buffer, Buffer>,
  options: { readonly take: number | undefined; readonly deadline: number },
): Promise<Answer> {
  const messages: TreeMessage[] = [];
  const { take = Number.POSITIVE_INFINITY, deadline } = options;
  let headers: Answer["headers"] = {};
  return new Promise((resolve) => {
    stream.on("metadata", (metadata: Metadata) => {
      headers = plain(metadata);
    });
    stream.on("data", (bytes: Buffer) => {
      messages.push(decode(rpc.response, bytes));
      if (messages.length >= take) stream.cancel();
    });
    stream.on("error", () => undefined); // comes as the status too
    stream.on("status", ({ code, details, metadata }: StatusObject) => {
      const enough = messages.length >= take && code === CANCELLED;
      const [status, text] = enough ? [0, ""] : [code, details];
      const trailers = enough ? {} : plain(metadata);
      // Whoever says so first, the server or our own library with times and ports in its text.
      const isLate = code === DEADLINE_EXCEEDED || Date.now() >= deadline;
      const [told, said] = isLate && !enough ? [DEADLINE_EXCEEDED, "no answer"] : [status, text];
      resolve({ code: told, text: said, messages, headers, trailers });
    });
  });
}

/** HTTP's own names, and those whose value is chance. */
const NOT_COMPARED = new Set(["content-type", "date", "grpc-accept-encoding", "accept-encoding"]);

function plain(metadata: Metadata): { [name: string]: Tree } {
  const entries = Object.entries(metadata.getMap()).filter(([name]) => !NOT_COMPARED.has(name));
  return Object.fromEntries(entries.map(([name, value]) => [name, value.toString("latin1")]));
}

/** Responses of one watch stream, in order; one request at a time is answered. */
export class WatchSession {
  readonly responses: TreeMessage[] = [];
  readonly #name: string;
  readonly #rpc: Rpc;
  readonly #stream: ClientDuplexStream<Buffer, Buffer>;
  #error: ServiceError | undefined = undefined;

  constructor(name: string, rpc: Rpc, stream: ClientDuplexStream<Buffer, Buffer>) {
    this.#name = name;
    this.#rpc = rpc;
    this.#stream = stream;
    stream.on("data", (bytes: Buffer) => this.responses.push(decode(rpc.response, bytes)));
    stream.on("error", (error: ServiceError) => {
      this.#error = error;
    });
  }

  /** Creates a watcher; returns the created response (which may be a refusal). */
  async create(createRequest: object): Promise<TreeMessage> {
    const created = (): TreeMessage[] => this.responses.filter((one) => one.created === true);
    const before = created().length;
    this.#send({ createRequest });
    await this.until("watch created", () => created().length > before);
    return created()[before] as TreeMessage;
  }

  cancel(watchId: number): void {
    this.#send({ cancelRequest: { watchId } });
  }

  requestProgress(): void {
    this.#send({ progressRequest: {} });
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

  #send(request: object): void {
    this.#stream.write(encode(this.#rpc.request, request));
  }
}
