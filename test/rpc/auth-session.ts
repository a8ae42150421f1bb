/**
 * Users of one server, real etcd or ours: each step is one call on behalf of somebody, and comes to
 * a text that says all that a client can tell, so that two servers can be compared step by step.
 * Left out are what chance or the clock decides: headers' ids, tokens, what is left of leases.
 */
import { Metadata } from "@grpc/grpc-js";
import { GrpcJsClient } from "../support/grpc-js.ts";

/** A call: by a user with his token, by nobody, or with a token of this text. */
export interface Step {
  readonly as?: string | { readonly token: string };
  /** "KV/Put" of etcd's own package, or with the name of another. */
  readonly rpc: string;
  readonly request?: object;
}

/** The passwords that users of tests have. */
export const PASSWORDS = ["first", "second", ""] as const;

const LEFT_OUT = new Set(["header", "token", "TTL", "leaderKey", "members", "dbSize", "version"]);

export class AuthSession {
  readonly #client: GrpcJsClient;
  readonly #tokens = new Map<string, string>();

  /** `endpoint` is host:port. */
  constructor(endpoint: string) {
    this.#client = new GrpcJsClient(endpoint);
  }

  close(): void {
    this.#client.close();
  }

  /** What the call came to: "OK …" or "code text". */
  async run(step: Step): Promise<string> {
    const metadata = await this.#metadataOf(step.as);
    const request = step.request ?? {};
    if (step.rpc === "Watch/Watch") return await this.#first(step.rpc, request, metadata);
    if (step.rpc === "Lease/LeaseKeepAlive") return await this.#first(step.rpc, request, metadata);
    const answer = await this.#unary(step.rpc, request, metadata);
    if (/invalid auth token|auth store is old/.test(answer)) this.#tokens.clear();
    return answer;
  }

  async #unary(rpc: string, request: object, metadata: Metadata): Promise<string> {
    try {
      const name = rpc.includes(".") ? rpc : `etcdserverpb.${rpc}`;
      const message = await this.#client.unary(name, request, { metadata });
      if (rpc === "Maintenance/Status" || rpc === "Maintenance/HashKV") return "OK";
      return `OK ${JSON.stringify(message, shown)}`;
    } catch (error) {
      return refusalOf(error);
    }
  }

  /** The first answer of a stream to one request. */
  async #first(rpc: string, request: object, metadata: Metadata): Promise<string> {
    const stream = this.#client.duplex(`etcdserverpb.${rpc}`, metadata);
    try {
      stream.send(request);
      return `OK ${JSON.stringify(await stream.next(), shown)}`;
    } catch (error) {
      return refusalOf(error);
    } finally {
      stream.cancel();
    }
  }

  async #metadataOf(as: Step["as"]): Promise<Metadata> {
    const metadata = new Metadata();
    const token = typeof as === "string" ? await this.#tokenOf(as) : as?.token;
    if (token !== undefined) metadata.set("token", token);
    return metadata;
  }

  /** A token of the user, by whichever password he has; none if he cannot get one. */
  async #tokenOf(name: string): Promise<string | undefined> {
    const known = this.#tokens.get(name);
    if (known !== undefined) return known;
    for (const password of PASSWORDS) {
      try {
        const answer = await this.#client.unary("etcdserverpb.Auth/Authenticate", {
          name,
          password,
        });
        const { token } = answer as unknown as { token: string };
        this.#tokens.set(name, token);
        return token;
      } catch (error) {
        if (!refusalOf(error).includes("invalid user ID or password")) return undefined;
      }
    }
    return undefined;
  }
}

/** etcd tells of users without a password who asks; Aether tells nobody who exists. */
const NO_PASSWORD = "2 auth: authentication failed, password was given for no password user";
const NOT_HIM = "3 etcdserver: authentication failed, invalid user ID or password";

function refusalOf(error: unknown): string {
  const { code, details } = error as { code: number; details: string };
  const refusal = `${code} ${details}`;
  return refusal === NO_PASSWORD ? NOT_HIM : refusal;
}

function shown(key: string, value: unknown): unknown {
  if (LEFT_OUT.has(key)) return undefined;
  if (key === "keys" && Array.isArray(value)) return value.map(String).sort(); // of a lease
  const bytes = value as { type?: string; data?: number[] } | null;
  return bytes?.type === "Buffer" ? Buffer.from(bytes.data ?? []).toString("latin1") : value;
}
