/**
 * Who may speak to this member, and as whom. Every call bears its hello in the head, so a stranger
 * is refused before a byte of a stream's messages is kept. Each refusal has a reason that is
 * counted and a text that says what to do about it; none of them gives away an id of ours, and who
 * is not authorized learns nothing about the members.
 *
 * Where there is a secret, a caller has to prove that it has it, whatever else it shows. Without
 * one, `authorize` looks at where it calls from and at its certificate.
 */
import { VERSION } from "../../base/version.ts";
import type { PeerHello } from "../../proto/gen/aether.v1.ts";
import type { MemberId } from "../../raft/types.ts";
import { decodeBinary, encodeBinary, type Metadata } from "../../wire/grpc/metadata.ts";
import type { ServerCall } from "../../wire/grpc/server-call.ts";
import { type FrameView, PEER_FORMAT } from "./frame.ts";
import { readHello } from "./hello.ts";
import type { Authorize } from "./ports.ts";
import type { Proofs } from "./proofs.ts";
import { PeerRefusal } from "./refusal.ts";
import { BROKEN, type CallSeals } from "./seal.ts";

/** The trailer that proves a removal. */
const REMOVED_FIELD = "x-aether-removed";

/** What a caller is held against. */
export interface Admission {
  readonly clusterId: bigint;
  readonly self: MemberId;
  readonly knows: (id: bigint) => boolean;
  readonly isRemoved: (id: bigint) => boolean;
  /** Asked where there is no secret. */
  readonly authorize: Authorize;
  /** Who has proved that he knows the cluster's secret, if it has one. */
  readonly proofs: Proofs | undefined;
}

/** A caller that may come in. */
export interface Admitted {
  readonly hello: PeerHello;
  /** Of the call's messages; undefined where there is no secret. */
  readonly seals: CallSeals | undefined;
}

/** A member's call that may come in. Throws PeerRefusal. */
export function admit(call: ServerCall, admission: Admission): Admitted {
  const hello = readHello(call.metadata);
  checkFormat(hello);
  if (hello.clusterId !== admission.clusterId) throw wrongCluster();
  if (hello.toMemberId !== admission.self) throw wrongRecipient();
  const seals = checkAuthorized(call, admission);
  const { fromMemberId: from } = hello;
  if (from === admission.self || !admission.knows(from)) throw notAMember(from, admission, seals);
  return { hello, seals };
}

/**
 * Lets in who may be no member yet, and who need not know whom it calls: its hello may leave ids
 * at 0. What it says must be right, and it has to prove that it belongs here. Throws PeerRefusal.
 */
export function admitGuest(call: ServerCall, admission: Admission): Admitted {
  const hello = readHello(call.metadata);
  checkFormat(hello);
  const { clusterId, toMemberId } = hello;
  if (clusterId !== 0n && clusterId !== admission.clusterId) throw wrongCluster();
  if (toMemberId !== 0n && toMemberId !== admission.self) throw wrongRecipient();
  return { hello, seals: checkAuthorized(call, admission) };
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

function checkAuthorized(call: ServerCall, admission: Admission): CallSeals | undefined {
  if (admission.proofs !== undefined) return admission.proofs.check(call);
  const caller = { address: call.peer, certificateName: call.peerName };
  const refusal = admission.authorize(caller);
  if (refusal !== undefined) throw new PeerRefusal("unauthorized", refusal);
  return undefined;
}

/** Where a message of a caller ends: before its seal, if there are any. Throws PeerRefusal. */
export function openSeal(
  seals: CallSeals | undefined,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  const messageEnd = seals === undefined ? end : seals.open(bytes, start, end);
  if (messageEnd !== BROKEN) return messageEnd;
  throw new PeerRefusal(
    "unauthorized",
    "a message whose seal does not fit: somebody between the members changes what they say",
  );
}

/**
 * Why `id` may not speak; one that was removed is given the proof, to stop trying. `seals` are of
 * its call, from our side.
 */
export function notAMember(
  id: bigint,
  admission: Admission,
  seals: CallSeals | undefined,
): PeerRefusal {
  if (admission.isRemoved(id)) {
    return new PeerRefusal(
      "removed",
      "the caller was removed from the cluster, and its id cannot come back: add it as a new " +
        "member, with an empty data directory",
      [REMOVED_FIELD, removalProof(id, admission, seals)],
    );
  }
  return new PeerRefusal(
    "unknown-sender",
    "the caller is no member known here: it was removed, or has not been added yet",
  );
}

/**
 * What only a member of the cluster can say to one that it has removed: where there is a secret, by
 * a seal of the call. A proof for all calls would be good for whoever has heard it once, also after
 * the cluster was restored or founded anew, which gives its members the ids they had.
 */
function removalProof(id: bigint, { clusterId }: Admission, seals: CallSeals | undefined): string {
  const text = removalText(id, clusterId);
  if (seals !== undefined) return encodeBinary(seals.sealFailure(text));
  return new Bun.CryptoHasher("sha256").update(text).digest("base64url");
}

/**
 * Whether the trailers of a refusal prove that this member was removed; `seals` are those of the
 * call that was refused, from our side.
 */
export function provesRemoval(
  trailers: Metadata,
  admission: Admission,
  seals: CallSeals | undefined,
): boolean {
  const proof = trailers.get(REMOVED_FIELD);
  const { self, clusterId, proofs } = admission;
  if (proof === undefined) return false;
  if (proofs === undefined) return sameText(proof, removalProof(self, admission, undefined));
  const seal = decodeBinary(proof);
  if (seal === undefined || seals === undefined) return false;
  return seals.fitsFailure(seal, removalText(self, clusterId));
}

function removalText(id: bigint, clusterId: bigint): string {
  return `aether: cluster ${clusterId} has removed member ${id}`;
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

/** What a verified certificate says of its bearer, where there is no secret. */
export type Certificates =
  | "members" // the authority signs members' alone: whoever has one is a member
  | "anybody"; // it signs clients' too: a certificate says nothing

/** The rule where there is no secret: members have certificates, or call from this machine. */
export function membersOnly(certificates: Certificates = "members"): Authorize {
  return ({ address, certificateName: name }) => {
    if (isLocal(address) || (name !== undefined && certificates === "members")) return undefined;
    return name === undefined ? NOT_SHOWN : MAY_BE_A_CLIENTS;
  };
}

/** What members of several machines need, one of it; said wherever they are refused. */
export const MEMBERS_NEED =
  "the same cluster secret on every member (AETHER_CLUSTER_SECRET, or cluster.secret in the " +
  "configuration file), or peer TLS that verifies both sides";

const NOT_SHOWN = `peers of other machines must prove who they are: set ${MEMBERS_NEED}`;

const MAY_BE_A_CLIENTS =
  "this address takes clients too, and the certificate may be a client's: set the same cluster " +
  "secret on every member, or an address of their own for members (cluster.peer_addr)";

function sameText(a: string, b: string): boolean {
  const digest = (text: string): Buffer => new Bun.CryptoHasher("sha256").update(text).digest();
  return crypto.timingSafeEqual(digest(a), digest(b));
}

/** `127.0.0.0/8`, `::1` (also as an IPv4 one) or a unix socket. */
function isLocal(address: string): boolean {
  return address === "unix" || /^(127\.|\[::1\]|\[::ffff:127\.)/.test(address);
}
