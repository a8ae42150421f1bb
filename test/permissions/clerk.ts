/** Asks a server on behalf of somebody, in one of three ways, and reports what came back. */
import { Metadata } from "@grpc/grpc-js";
import { GrpcJsClient, type Inbox } from "../support/grpc-js.ts";
import { type Key, keysInside } from "./filter.ts";
import type { Asked } from "./requests.ts";

/** etcd's family, ours, and etcd's as JSON. */
export type Way = "etcd" | "native" | "json";

export interface Answer {
  readonly ok: boolean;
  /** The status of gRPC. */
  readonly code: number;
  /** Every key that it names, or whose value it holds. */
  readonly seen: ReadonlySet<Key>;
}

const OK = 0;
export const NOT_FOUND = 5;
export const PERMISSION_DENIED = 7;

export class Clerk {
  readonly #endpoint: string;
  readonly #client: GrpcJsClient;
  readonly #tokens = new Map<string, string>();

  constructor(endpoint: string) {
    this.#endpoint = endpoint;
    this.#client = new GrpcJsClient(endpoint);
  }

  close(): void {
    this.#client.close();
  }

  async logIn(name: string, password: string): Promise<void> {
    const answer: unknown = await this.#client.unary("etcdserverpb.Auth/Authenticate", {
      ...{ name, password },
    });
    this.#tokens.set(name, (answer as { token: string }).token);
  }

  /** Shows this as somebody's token. */
  forge(name: string, token: string): void {
    this.#tokens.set(name, token);
  }

  async ask(user: string, way: Way, asked: Asked): Promise<Answer> {
    if (way === "json" && asked.json !== undefined) return this.#post(user, asked.json, asked);
    const name = way === "native" ? (asked.native ?? asked.etcd) : asked.etcd;
    if (name.endsWith("/RangeStream")) return this.#download(user, name, asked.request);
    return this.#unary(user, name, asked.request);
  }

  /** Something that has to succeed. */
  async must(user: string, name: string, request: object): Promise<Answer & { body: Body }> {
    const body = await this.#client.unary(name, request, { metadata: this.#metadata(user) });
    return { ...answerOf(body), body: body as unknown as Body };
  }

  watch(user: string, way: Way): Inbox {
    const name = way === "native" ? "aether.v1.AetherWatch/Watch" : "etcdserverpb.Watch/Watch";
    return this.#client.duplex(name, this.#metadata(user));
  }

  async #unary(user: string, name: string, request: object): Promise<Answer> {
    try {
      const metadata = this.#metadata(user);
      return answerOf(await this.#client.unary(name, request, { metadata }));
    } catch (error) {
      return refusalOf(error);
    }
  }

  async #download(user: string, name: string, request: object): Promise<Answer> {
    const stream = this.#client.download(name, request, this.#metadata(user));
    const ended = new Promise<void>((resolve) => {
      stream.onEnd = resolve;
    });
    await ended;
    if (stream.error !== undefined) return refusalOf(stream.error, stream.messages);
    return answerOf(stream.messages);
  }

  async #post(user: string, path: string, { request }: Asked): Promise<Answer> {
    const token = this.#tokens.get(user);
    const response = await fetch(`http://${this.#endpoint}${path}`, {
      method: "POST",
      body: JSON.stringify(request, (_name, value: unknown) => inBase64(value)),
      ...(token === undefined ? {} : { headers: { authorization: token } }),
    });
    const body = (await response.json()) as { readonly code?: number };
    const seen = seenIn(body, "base64");
    return { ok: response.ok, code: response.ok ? OK : (body.code ?? -1), seen };
  }

  #metadata(user: string): Metadata {
    const metadata = new Metadata();
    const token = this.#tokens.get(user);
    if (token !== undefined) metadata.set("token", token);
    return metadata;
  }
}

/** The fields of answers to root that tests read. */
export interface Body {
  readonly header: { readonly revision: string };
  readonly kvs: readonly { readonly key: Buffer; readonly modRevision: string }[];
  readonly keys: readonly Buffer[];
  readonly TTL: string;
}

function answerOf(body: object): Answer {
  return { ok: true, code: OK, seen: seenIn(body, "bytes") };
}

/** A refusal may come behind answers, and its text may say too much. */
function refusalOf(error: unknown, before: readonly object[] = []): Answer {
  const { code, details } = error as { code: number; details: string };
  return { ok: false, code, seen: seenIn([...before, { details }], "bytes") };
}

/** JSON.stringify has made { type: "Buffer", data } of a buffer before it asks. */
function inBase64(value: unknown): unknown {
  const { type, data } = (value ?? {}) as { readonly type?: string; readonly data?: number[] };
  return type === "Buffer" ? Buffer.from(data ?? []).toString("base64") : value;
}

/** Keys anywhere in an answer, by name or by value. */
export function seenIn(body: unknown, form: "bytes" | "base64"): Set<Key> {
  const seen = new Set<Key>();
  const visit = (value: unknown, name: string): void => {
    if (Buffer.isBuffer(value) || (typeof value === "string" && form === "base64")) {
      const text = Buffer.isBuffer(value)
        ? value.toString("latin1")
        : Buffer.from(value, "base64").toString("latin1");
      if ((name === "key" || name === "keys") && text !== "") seen.add(text);
      for (const key of keysInside(text)) seen.add(key);
    } else if (typeof value === "string") for (const key of keysInside(value)) seen.add(key);
    else if (Array.isArray(value)) for (const each of value) visit(each, name);
    else if (typeof value === "object" && value !== null) {
      for (const [field, each] of Object.entries(value)) visit(each, field);
    }
  };
  visit(body, "");
  return seen;
}
