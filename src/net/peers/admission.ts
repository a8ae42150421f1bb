/**
 * Who may speak to this member, and as whom. Every call bears its hello in the head, so a stranger
 * is refused before a byte of a stream's messages is kept. Each refusal has a reason that is
 * counted and a text that says what to do about it; none of them gives away an id of ours, and who
 * is not authorized learns nothing about the members.
 */
import type { ByteWriter } from "../../base/bytes.ts";
import { VERSION } from "../../base/version.ts";
import { DecodeError } from "../../proto/decode-error.ts";
import { PeerHello } from "../../proto/gen/aether.v1.ts";
import type { MemberId } from "../../raft/types.ts";
import { encodeBinary, type Metadata } from "../../wire/grpc/metadata.ts";
import type { ServerCall } from "../../wire/grpc/server-call.ts";
import { GrpcCode } from "../../wire/grpc/status.ts";
import { type FrameIds, type FrameView, PEER_FORMAT } from "./frame.ts";
import type { Authorize, PeerIdentity } from "./ports.ts";

const HELLO_FIELD = "x-aether-peer-bin";
/** The cluster's secret travels where HTTP/2 never keeps a value in its tables. */
const SECRET_FIELD = "authorization";
const SECRET_SCHEME = "Aether-Peer ";
/** The trailer that proves a removal. */
const REMOVED_FIELD = "x-aether-removed";

/** Why a call or a frame was refused. */
export type RefusalReason =
  | "malformed" // no hello, or bytes that are none of our messages
  | "format" // another version of the peer protocol
  | "wrong-cluster"
  | "wrong-recipient" // meant for another member
  | "unknown-sender" // no member that we know, or ourselves
  | "removed" // was a member once, and can never be again
  | "unauthorized"
  | "corrupt"; // a checksum does not fit

const CODES = {
  malformed: GrpcCode.INVALID_ARGUMENT,
  format: GrpcCode.FAILED_PRECONDITION,
  "wrong-cluster": GrpcCode.FAILED_PRECONDITION,
  "wrong-recipient": GrpcCode.FAILED_PRECONDITION,
  "unknown-sender": GrpcCode.PERMISSION_DENIED,
  removed: GrpcCode.PERMISSION_DENIED,
  unauthorized: GrpcCode.UNAUTHENTICATED,
  corrupt: GrpcCode.DATA_LOSS,
} as const satisfies Record<RefusalReason, GrpcCode>;

/** A peer's fault; ends its call. */
export class PeerRefusal extends Error {
  override readonly name = "PeerRefusal";
  readonly reason: RefusalReason;
  readonly code: GrpcCode;
  readonly trailers: readonly string[];

  constructor(reason: RefusalReason, message: string, trailers: readonly string[] = []) {
    super(message);
    this.reason = reason;
    this.code = CODES[reason];
    this.trailers = trailers;
  }
}

/** Counters of what was refused, all zero. */
export function noRefusals(): Record<RefusalReason, number> {
  return {
    malformed: 0,
    format: 0,
    "wrong-cluster": 0,
    "wrong-recipient": 0,
    "unknown-sender": 0,
    removed: 0,
    unauthorized: 0,
    corrupt: 0,
  };
}

/** The header fields of a call of ours. */
export function helloFields(
  ids: FrameIds,
  lane: number,
  secret: string | undefined,
  scratch: ByteWriter,
): string[] {
  scratch.reset();
  const hello = PeerHello.create({
    format: PEER_FORMAT,
    clusterId: ids.clusterId,
    fromMemberId: ids.from,
    toMemberId: ids.to,
    lane,
    version: VERSION,
  });
  PeerHello.encode(hello, scratch);
  const fields = [HELLO_FIELD, encodeBinary(scratch.view())];
  if (secret !== undefined) {
    fields.push(SECRET_FIELD, SECRET_SCHEME + Buffer.from(secret).toString("base64url"));
  }
  return fields;
}

/** What a caller is held against. */
export interface Admission {
  readonly clusterId: bigint;
  readonly self: MemberId;
  readonly knows: (id: bigint) => boolean;
  readonly isRemoved: (id: bigint) => boolean;
  readonly authorize: Authorize;
  /** The cluster's secret, if it has one. */
  readonly secret: string | undefined;
}

/** The hello of a member's call that may come in. Throws PeerRefusal. */
export function admit(call: ServerCall, admission: Admission): PeerHello {
  const hello = readHello(call.metadata);
  checkFormat(hello);
  if (hello.clusterId !== admission.clusterId) throw wrongCluster();
  if (hello.toMemberId !== admission.self) throw wrongRecipient();
  checkAuthorized(hello, call, admission);
  const { fromMemberId: from } = hello;
  if (from === admission.self || !admission.knows(from)) throw notAMember(from, admission);
  return hello;
}

/**
 * Lets in who may be no member yet, and who need not know whom it calls: its hello may leave ids
 * at 0. What it says must be right, and it has to prove that it belongs here. Throws PeerRefusal.
 */
export function admitGuest(call: ServerCall, admission: Admission): void {
  const hello = readHello(call.metadata);
  checkFormat(hello);
  const { clusterId, toMemberId } = hello;
  if (clusterId !== 0n && clusterId !== admission.clusterId) throw wrongCluster();
  if (toMemberId !== 0n && toMemberId !== admission.self) throw wrongRecipient();
  checkAuthorized(hello, call, admission);
}

function checkFormat({ format, version }: PeerHello): void {
  if (format === PEER_FORMAT) return;
  const text = `peer protocol ${format} (${version}) meets ${PEER_FORMAT}`;
  throw new PeerRefusal("format", `${text} (${VERSION}): run releases that share one`);
}

function wrongCluster(): PeerRefusal {
  return new PeerRefusal(
    "wrong-cluster",
    "this member belongs to another cluster: check the peer URLs and the initial cluster token",
  );
}

function wrongRecipient(): PeerRefusal {
  return new PeerRefusal(
    "wrong-recipient",
    "another member lives at this address: check the peer URLs of the members",
  );
}

function checkAuthorized(hello: PeerHello, call: ServerCall, admission: Admission): void {
  const refusal = admission.authorize(hello, identityOf(call));
  if (refusal !== undefined) throw new PeerRefusal("unauthorized", refusal);
}

/** Why `id` may not speak; one that was removed is given the proof, to stop trying. */
export function notAMember(id: bigint, admission: Admission): PeerRefusal {
  if (admission.isRemoved(id)) {
    return new PeerRefusal(
      "removed",
      "the caller was removed from the cluster, and its id cannot come back: add it as a new " +
        "member, with an empty data directory",
      [REMOVED_FIELD, removalProof(id, admission)],
    );
  }
  return new PeerRefusal(
    "unknown-sender",
    "the caller is no member known here: it was removed, or has not been added yet",
  );
}

/**
 * What only a member of the cluster can say to one that it has removed. It may be repeated by
 * anybody who has heard it, which is no harm: who was removed stays removed.
 */
function removalProof(id: bigint, { clusterId, secret }: Admission): string {
  const text = `aether: cluster ${clusterId} has removed member ${id}`;
  return new Bun.CryptoHasher("sha256", secret ?? "").update(text).digest("base64url");
}

/** Whether the trailers of a refusal prove that this member was removed. */
export function provesRemoval(trailers: Metadata, admission: Admission): boolean {
  const proof = trailers.get(REMOVED_FIELD);
  return proof !== undefined && sameSecret(proof, removalProof(admission.self, admission));
}

/** Holds a frame against the hello of its stream. Throws PeerRefusal. */
export function checkFrame(frame: FrameView, hello: PeerHello, admission: Admission): void {
  if (frame.clusterId !== hello.clusterId) {
    throw new PeerRefusal("wrong-cluster", "a frame of another cluster than the stream's");
  }
  if (frame.to !== hello.toMemberId) {
    throw new PeerRefusal("wrong-recipient", "a frame for another member than the stream's");
  }
  if (frame.from !== hello.fromMemberId || !admission.knows(frame.from)) {
    throw new PeerRefusal("unknown-sender", "a frame of another member, or of one removed");
  }
  if (!frame.intact) {
    throw new PeerRefusal("corrupt", "a frame's checksum does not fit: bytes change on the way");
  }
}

function readHello(metadata: Metadata): PeerHello {
  const bytes = metadata.binary(HELLO_FIELD);
  if (bytes === undefined) {
    throw new PeerRefusal("malformed", "not a call of a member: clients use the client port");
  }
  try {
    return PeerHello.decode(bytes, 0, bytes.length);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new PeerRefusal("malformed", `the hello is broken: ${error.message}`);
  }
}

function identityOf(call: ServerCall): PeerIdentity {
  const field = call.metadata.get(SECRET_FIELD);
  const secret = field?.startsWith(SECRET_SCHEME)
    ? Buffer.from(field.slice(SECRET_SCHEME.length), "base64url").toString()
    : undefined;
  return { address: call.peer, certificateName: call.peerName, secret };
}

/**
 * The usual rule: a verified certificate or the cluster's secret lets a caller in; where neither is
 * set up, only callers of this machine come in. Secrets are compared in constant time.
 */
export function membersOnly(secret: string | undefined): Authorize {
  return (_hello, peer) => {
    if (peer.certificateName !== undefined) return undefined;
    if (secret !== undefined) {
      if (peer.secret !== undefined && sameSecret(peer.secret, secret)) return undefined;
      return "wrong or no cluster secret: set the same one on every member, or use peer TLS";
    }
    if (isLocal(peer.address)) return undefined;
    return "peers of other machines must prove who they are: set a cluster secret or peer TLS";
  };
}

function sameSecret(a: string, b: string): boolean {
  const digest = (text: string): Buffer => new Bun.CryptoHasher("sha256").update(text).digest();
  return crypto.timingSafeEqual(digest(a), digest(b));
}

/** `127.0.0.0/8`, `::1` (also as an IPv4 one) or a unix socket. */
function isLocal(address: string): boolean {
  return address === "unix" || /^(127\.|\[::1\]|\[::ffff:127\.)/.test(address);
}
