/**
 * How a node without data begins: it asks the other founders, or the members that it is to join,
 * until cluster/bootstrap.ts can decide, and answers the questions of other founders meanwhile.
 */
import { AetherError } from "../base/errors.ts";
import type { Log, Random } from "../base/ports.ts";
import { type BootstrapStep, bootstrap } from "../cluster/bootstrap.ts";
import { foundCluster, memberIdOf } from "../cluster/founding.ts";
import { type Admission, admitGuest } from "../net/peers/admission.ts";
import { askMembers } from "../net/peers/ask-members.ts";
import { CallingSecret } from "../net/peers/calling-secret.ts";
import { type Admits, callMethods } from "../net/peers/calls.ts";
import type { PeerDialer } from "../net/peers/ports.ts";
import { challenged, Proofs } from "../net/peers/proofs.ts";
import { PeerRefusal } from "../net/peers/refusal.ts";
import { RefusalLog } from "../net/peers/refusal-log.ts";
import { peerServer } from "../net/peers/server.ts";
import { AetherPeer, MembersPeerResponse } from "../proto/gen/aether.v1.ts";
import { StorageError } from "../storage/storage-error.ts";
import { RECEIVE_BYTES_DEFAULT } from "../wire/grpc/grpc-server.ts";
import type { Method, ServerCall } from "../wire/grpc/server-call.ts";
import type { HttpHandler } from "../wire/http1/http.ts";
import type { Config } from "./config/config.ts";
import type { Answering } from "./doors.ts";
import { peerTrust } from "./peer-trust.ts";

/** For the connection, and as much again for the answer. */
const ASK_MS_MAX = 1000;

/** Between two rounds of questions; the first come quickly, since founders start together. */
const PAUSE_MS_MIN = 20;
const PAUSE_MS_MAX = 500;

/** How often people are told whom we wait for; soon at first: something may have to be set. */
const REMIND_MS = 5000;
const REMIND_FIRST_MS = 1000;

export type Beginning = Extract<BootstrapStep, { kind: "found" | "join" }>;

export interface BeginningParts {
  readonly config: Config;
  readonly dialer: PeerDialer;
  readonly log: Log;
  readonly random: Random;
}

/** Resolves when it is decided. Rejects with a text for people when this node must not begin. */
export async function findBeginning(parts: BeginningParts): Promise<Beginning> {
  const { config, log, random } = parts;
  const { name, peerUrls, founders: members, token, initialState: state } = config;
  const answers = new Map<string, MembersPeerResponse>();
  const failures = new Map<string, string>();
  const { secret, previousSecret } = config;
  const calling = secret === undefined ? undefined : new CallingSecret(secret, previousSecret);
  let pauseMs = PAUSE_MS_MIN;
  let remindMs = performance.now() + REMIND_FIRST_MS;
  for (;;) {
    const step = bootstrap({ name, peerUrls, members, token, state }, answers);
    if (step.kind === "found" || step.kind === "join") return step;
    if (step.kind === "refuse") throw new StorageError("unusable", step.why);
    if (performance.now() > remindMs) {
      remindMs = performance.now() + REMIND_MS;
      const reasons = step.names.map((other) => `${other}: ${failures.get(other) ?? "silent"}`);
      log.info("waiting for other members", { needed: step.needed, of: reasons.join("; ") });
    }
    await askAll({ ...parts, calling }, answers, failures);
    await Bun.sleep(pauseMs + random.below(pauseMs));
    pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX);
  }
}

/** Asks every other member once, all at the same time. */
async function askAll(
  { config, dialer, calling }: BeginningParts & { calling: CallingSecret | undefined },
  answers: Map<string, MembersPeerResponse>,
  failures: Map<string, string>,
): Promise<void> {
  const others = config.founders.filter(({ name }) => name !== config.name);
  await Promise.all(
    others.map(async ({ name, peerUrls: [url = ""] }) => {
      const secret = calling?.at(url);
      try {
        answers.set(name, await askMembers(dialer, url, secret, ASK_MS_MAX));
      } catch (error) {
        if (!(error instanceof AetherError)) throw error;
        if (secret !== undefined) calling?.refused(url, secret); // or silent: tried in turn
        answers.delete(name); // what it said before may be different by now
        failures.set(name, error.detail);
      }
    }),
  );
}

/** What a founder answers while it founds: that it is here, and nothing else is yet. */
export function foundingMethods(config: Config, log: Log): readonly Method[] {
  const { founders, token, peerUrls, secret, previousSecret } = config;
  const admission: Admission = {
    clusterId: foundCluster(founders, token).clusterId,
    self: memberIdOf(peerUrls, token),
    knows: () => false,
    isRemoved: () => false,
    authorize: peerTrust(config),
    proofs: secret === undefined ? undefined : new Proofs(secret, previousSecret),
  };
  const refuse = (): never => {
    throw new PeerRefusal("unknown-sender", "this member is founding its cluster");
  };
  const nothing = (): never => {
    throw new AetherError("unhealthy", "this member is founding its cluster");
  };
  const handlers = {
    ...{ leaseRenew: nothing, leaseRemaining: nothing, memberInfo: nothing },
    ...{ hashKv: nothing, memberChange: nothing },
    members: () => MembersPeerResponse.create({ memberId: admission.self }),
  };
  const refusals = new RefusalLog(log, () => performance.now());
  const telling = <T>(call: ServerCall, admit: () => T): T => {
    try {
      return admit();
    } catch (error) {
      if (error instanceof PeerRefusal) refusals.refused(error.reason, error.message, call.peer);
      throw error;
    }
  };
  const admits: Admits = {
    member: refuse,
    guest: (call) => telling(call, () => admitGuest(call, admission)),
    challenge: (call, nonce) => telling(call, () => challenged(admission.proofs, call, nonce)),
  };
  const served: readonly string[] = [AetherPeer.Challenge.path, AetherPeer.Members.path];
  return callMethods(handlers, admits).filter(({ path }) => served.includes(path));
}

/** Answers the questions of other founders, and nothing else. */
export function whileBeginning(config: Config, log: Log): Answering {
  const methods = foundingMethods(config, log);
  const handler: HttpHandler = (_request, response) => {
    response.end(503, ["content-type", "text/plain; charset=utf-8"], "starting\n");
  };
  const http = { handler, bodyBytesMax: RECEIVE_BYTES_DEFAULT };
  const server = peerServer(methods, () => ({ code: 14, message: "starting" }), http);
  return { clients: server, clientsHttp: server, peers: server, observers: server };
}
