/**
 * A stranger's client: @grpc/grpc-js with @grpc/proto-loader over proto/, so that it shares no code
 * with the server. Methods are named as on the wire ("etcdserverpb.KV/Put"); 64-bit numbers come as
 * strings, bytes as buffers.
 */
import { join } from "node:path";
import {
  Client,
  type ClientDuplexStream,
  type ClientOptions,
  credentials,
  type Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync, type MethodDefinition, type ServiceDefinition } from "@grpc/proto-loader";
import { until } from "./processes.ts";

export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: string;
  readonly modRevision: string;
  readonly version: string;
  readonly lease: string;
}

export interface LeaderKey {
  readonly name: Buffer;
  readonly key: Buffer;
  readonly rev: string;
  readonly lease: string;
}

export interface WatchEvent {
  readonly type: "PUT" | "DELETE";
  readonly kv: KeyValue;
  readonly prevKv: KeyValue | null;
}

/** The fields of all answers that tests look at; those of other messages are not there. */
export interface Message {
  readonly header: { readonly revision: string; readonly memberId: string };
  readonly key: Buffer;
  readonly leader: LeaderKey;
  readonly kv: KeyValue;
  readonly kvs: readonly KeyValue[];
  readonly prevKv: KeyValue | null;
  readonly count: string;
  readonly deleted: string;
  readonly more: boolean;
  readonly succeeded: boolean;
  readonly responses: readonly { readonly [kind: string]: Message }[];
  readonly rangeResponse: Message;
  readonly watchId: string;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: string;
  readonly cancelReason: string;
  readonly fragment: boolean;
  readonly events: readonly WatchEvent[];
  readonly ID: string;
  readonly TTL: string;
  readonly grantedTTL: string;
  readonly keys: readonly Buffer[];
  readonly leases: readonly { readonly ID: string }[];
  readonly status: string;
  readonly version: string;
  readonly listServicesResponse: { readonly service: readonly { readonly name: string }[] };
  readonly fileDescriptorResponse: { readonly fileDescriptorProto: readonly Buffer[] };
  readonly errorResponse: { readonly errorCode: number; readonly errorMessage: string };
}

/** No call of a test takes this long unless the server hangs. */
const CALL_MS_MAX = 10_000;

const definitions = loadSync(
  [
    "etcdserverpb/rpc.proto",
    "aether/v1/kv.proto",
    "aether/v1/watch.proto",
    "aether/v1/lease.proto",
    "aether/v1/auth.proto",
    "aether/v1/cluster.proto",
    "aether/v1/maintenance.proto",
    "grpc/health/v1/health.proto",
    "grpc/reflection/v1/reflection.proto",
    "v3lockpb/v3lock.proto",
    "v3electionpb/v3election.proto",
  ],
  {
    includeDirs: [join(import.meta.dir, "../../proto")],
    longs: String,
    enums: String,
    defaults: true,
    arrays: true,
    oneofs: true,
  },
);

function methodOf(name: string): MethodDefinition<object, object> {
  const [service = "", method = ""] = name.split("/");
  const found = (definitions[service] as ServiceDefinition | undefined)?.[method];
  if (found === undefined) throw new Error(`no method ${name} in proto/`);
  return found;
}

export interface CallOptions {
  readonly deadlineMs?: number;
  readonly metadata?: Metadata;
  /** Cancels the call. */
  readonly signal?: AbortSignal;
}

export class GrpcJsClient {
  readonly #client: Client;

  /** `address` is host:port. */
  constructor(address: string, options: ClientOptions = {}) {
    this.#client = new Client(address, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      // Clients in one process would share connections otherwise, also those to a killed server.
      "grpc.use_local_subchannel_pool": 1,
      ...options,
    });
  }

  /** Sends a unary request; rejects with grpc-js' ServiceError. */
  unary(name: string, request: object = {}, options: CallOptions = {}): Promise<Message> {
    const { path, requestSerialize, responseDeserialize } = methodOf(name);
    const deadline = Date.now() + (options.deadlineMs ?? CALL_MS_MAX);
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, response?: object): void => {
        if (error === null) resolve(response as Message);
        else reject(error);
      };
      const args = [path, requestSerialize, responseDeserialize, request] as const;
      const { metadata, signal } = options;
      const call =
        metadata === undefined
          ? this.#client.makeUnaryRequest(...args, { deadline }, done)
          : this.#client.makeUnaryRequest(...args, metadata, { deadline }, done);
      signal?.addEventListener("abort", () => call.cancel());
    });
  }

  /** The refusal of a unary request: "CODE text". Throws when it is not refused. */
  async refusal(name: string, request: object): Promise<{ code: number; text: string }> {
    try {
      await this.unary(name, request);
    } catch (error) {
      const { code, details } = error as ServiceError;
      return { code, text: details };
    }
    throw new Error(`${name} was not refused`);
  }

  /** Opens a bidirectional stream. */
  duplex(name: string, metadata?: Metadata): Inbox {
    const { path, requestSerialize, responseDeserialize } = methodOf(name);
    const codec = [path, requestSerialize, responseDeserialize] as const;
    const stream =
      metadata === undefined
        ? this.#client.makeBidiStreamRequest(...codec)
        : this.#client.makeBidiStreamRequest(...codec, metadata);
    return new Inbox(name, stream);
  }

  /** Opens a server stream. */
  download(name: string, request: object, metadata?: Metadata): Inbox {
    const { path, requestSerialize, responseDeserialize } = methodOf(name);
    const args = [path, requestSerialize, responseDeserialize, request] as const;
    const stream =
      metadata === undefined
        ? this.#client.makeServerStreamRequest(...args)
        : this.#client.makeServerStreamRequest(...args, metadata);
    return new Inbox(name, stream as ClientDuplexStream<object, object>);
  }

  close(): void {
    this.#client.close();
  }
}

/** One stream: what came, in order, and how it ended. */
export class Inbox {
  readonly messages: Message[] = [];
  /** Called for each message as it comes, beside keeping it. */
  onMessage: (message: Message) => void = () => {};
  /** Called once, when the stream is over, however it ended. */
  onEnd: () => void = () => {};
  readonly #name: string;
  readonly #stream: ClientDuplexStream<object, object>;
  #taken = 0;
  error: ServiceError | undefined = undefined;
  ended = false;

  constructor(name: string, stream: ClientDuplexStream<object, object>) {
    this.#name = name;
    this.#stream = stream;
    stream.on("data", (message: Message) => {
      this.messages.push(message);
      this.onMessage(message);
    });
    stream.on("error", (error: ServiceError) => {
      this.error = error;
    });
    stream.on("status", () => {
      this.ended = true;
      this.onEnd();
    });
  }

  send(request: object): void {
    this.#stream.write(request);
  }

  /** Sends no more; the server goes on. */
  halfClose(): void {
    this.#stream.end();
  }

  /** The next message that was not taken yet. */
  async next(): Promise<Message> {
    await this.until("next message", () => this.messages.length > this.#taken);
    return this.messages[this.#taken++] as Message;
  }

  /** Waits; throws when the stream fails before. */
  async until(what: string, holds: () => boolean): Promise<void> {
    await until(
      `${this.#name}: ${what}`,
      () => {
        if (holds()) return true;
        if (this.error !== undefined) throw this.error;
        return false;
      },
      CALL_MS_MAX,
    );
  }

  cancel(): void {
    this.#stream.cancel();
  }
}
