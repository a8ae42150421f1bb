/**
 * Name and password turned into the token that calls carry. A token that the server does not know
 * any more (it restarted, or the token's time is over) is replaced once per failed call.
 */
import { Secret } from "../base/secret.ts";
import { Auth, AuthenticateRequest } from "../proto/gen/etcdserverpb.ts";
import type { Authorizer, Channel } from "./channel.ts";
import { GrpcError } from "./grpc-error.ts";

/** Texts by which etcd's servers ask for a new token. */
const STALE = new Set([
  "etcdserver: invalid auth token",
  "etcdserver: revision of auth store is old",
  "etcdserver: user name is empty",
]);
/** What a server without authentication answers: calls go on without a token. */
const NOT_ENABLED = "etcdserver: authentication is not enabled";

export interface Credentials {
  readonly name: string;
  readonly password: string | Secret;
}

export class TokenAuthorizer implements Authorizer {
  readonly #channel: Channel;
  readonly #name: string;
  readonly #password: Secret;
  #fields: readonly string[] = [];
  #renewal: Promise<boolean> | undefined;

  constructor(channel: Channel, { name, password }: Credentials) {
    this.#channel = channel;
    this.#name = name;
    this.#password = typeof password === "string" ? new Secret(password) : password;
  }

  fields(path: string): readonly string[] {
    return path === Auth.Authenticate.path ? [] : this.#fields;
  }

  /** Many calls may fail at once; they share one Authenticate. */
  renew(failure: GrpcError): Promise<boolean> {
    if (!STALE.has(failure.message)) return Promise.resolve(false);
    this.#renewal ??= this.authenticate().finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  /** Gets a token; false if the server has authentication off. Rejects when it refuses us. */
  async authenticate(): Promise<boolean> {
    try {
      const password = this.#password.reveal();
      const request = AuthenticateRequest.create({ name: this.#name, password });
      const { token } = await this.#channel.call(Auth.Authenticate, request);
      this.#fields = ["token", token];
      return true;
    } catch (error) {
      if (!(error instanceof GrpcError) || error.message !== NOT_ENABLED) throw error;
      this.#fields = [];
      return false;
    }
  }
}
