/**
 * Both ends of a connection between members that share a secret: the caller's session, which
 * proves each call, and the receiver's book of connections, which believes nothing else. A
 * connection is challenged once; its key is forgotten with it.
 */
import type { Secret } from "../../base/secret.ts";
import { DecodeError } from "../../proto/decode-error.ts";
import { ChallengePeerResponse } from "../../proto/gen/aether.v1.ts";
import { encodeBinary } from "../../wire/grpc/metadata.ts";
import type { ServerCall } from "../../wire/grpc/server-call.ts";
import { HELLO_FIELD } from "./hello.ts";
import { PeerRefusal } from "./refusal.ts";
import { type CallSeals, ConnectionKey, NONCE_BYTES } from "./seal.ts";

const PROOF_FIELD = "x-aether-peer-proof-bin";

/** What is said to a caller that cannot show the secret; and what to do about it. */
const NO_PROOF = "the caller does not prove that it knows the cluster secret";
const NO_SECRET = "the caller has a cluster secret and this member has none";
const SET_IT =
  "set the same one on every member (AETHER_CLUSTER_SECRET, or cluster.secret in the " +
  "configuration file)";

/** The calling end of one connection. */
export class CallerSession {
  readonly #key: ConnectionKey;
  #number = 0;

  constructor(key: ConnectionKey) {
    this.#key = key;
  }

  /** The header fields of the next call, made of those with the hello, and the seals of it. */
  begin(path: string, fields: readonly string[]): { fields: string[]; seals: CallSeals } {
    const number = ++this.#number;
    const hello = fields[fields.indexOf(HELLO_FIELD) + 1] as string;
    const proof = encodeBinary(this.#key.proof(number, path, hello));
    return { fields: [...fields, PROOF_FIELD, proof], seals: this.#key.seals(number, "caller") };
  }
}

/** What is known of one connection. */
interface Challenged {
  /** Of each secret that is taken; of the one that the caller has, once it has shown that. */
  keys: readonly ConnectionKey[];
  /** Of the newest call: heads come in their order, so that later ones have higher numbers. */
  newest: number;
}

/** The receiving end of all connections. */
export class Proofs {
  readonly #secrets: readonly Secret[];
  readonly #connections = new WeakMap<object, Challenged>();

  /** `previous` is taken as well, while the secret is changed. */
  constructor(secret: Secret, previous?: Secret) {
    this.#secrets = previous === undefined ? [secret] : [secret, previous];
  }

  /** Draws our part of the key for the connection of `call`. Throws PeerRefusal. */
  challenge(call: ServerCall, callerNonce: Uint8Array): ChallengePeerResponse {
    if (callerNonce.length !== NONCE_BYTES) throw new DecodeError("a nonce has 32 bytes");
    const { connection } = call;
    if (connection === undefined || this.#connections.has(connection)) {
      throw new PeerRefusal("malformed", "a connection is challenged once");
    }
    const nonce = drawNonce();
    const keys = this.#secrets.map((secret) => new ConnectionKey(secret, callerNonce, nonce));
    this.#connections.set(connection, { keys, newest: 0 });
    return ChallengePeerResponse.create({ nonce });
  }

  /** The seals of a call that proves that its caller has the secret. Throws PeerRefusal. */
  check(call: ServerCall): CallSeals {
    const { connection } = call;
    const challenged = connection === undefined ? undefined : this.#connections.get(connection);
    const hello = call.metadata.get(HELLO_FIELD);
    const proof = call.metadata.binary(PROOF_FIELD);
    if (challenged === undefined || hello === undefined || proof === undefined) {
      throw unproven();
    }
    for (const key of challenged.keys) {
      const number = key.checkedNumber(proof, call.path, hello);
      if (number === undefined) continue;
      if (number <= challenged.newest) throw new PeerRefusal("unauthorized", "a call came twice");
      challenged.newest = number;
      challenged.keys = [key];
      return key.seals(number, "receiver");
    }
    throw unproven();
  }
}

/** The receiver's part of a key, where there is a secret. Throws PeerRefusal or DecodeError. */
export function challenged(
  proofs: Proofs | undefined,
  call: ServerCall,
  nonce: Uint8Array,
): ChallengePeerResponse {
  if (proofs !== undefined) return proofs.challenge(call, nonce);
  throw new PeerRefusal("no-secret", `${NO_SECRET}: ${SET_IT}`);
}

function unproven(): PeerRefusal {
  return new PeerRefusal("unauthorized", `${NO_PROOF}: ${SET_IT}`);
}

/** Our part of a key. */
export function drawNonce(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
}
