/**
 * Cluster: who the members are, and changes of it. etcd's face and ours have the same messages.
 * Answers carry no revision (etcd's quirk): none of this is part of the key space.
 */
import { AetherError } from "../base/errors.ts";
import type { Group } from "../node/group.ts";
import { AetherCluster } from "../proto/gen/aether.v1.ts";
import {
  Cluster,
  MemberAddRequest,
  MemberAddResponse,
  MemberListRequest,
  MemberListResponse,
  MemberPromoteRequest,
  MemberPromoteResponse,
  MemberRemoveRequest,
  MemberRemoveResponse,
  MemberUpdateRequest,
  MemberUpdateResponse,
  type ResponseHeader,
} from "../proto/gen/etcdserverpb.ts";
import type { MessageType } from "../proto/message.ts";
import type { Method, ServerCall, UnaryMethod } from "../wire/grpc/server-call.ts";
import { checkSize, decodeRequest, fail, reply } from "./answer.ts";
import { headerAt, type Identity } from "./headers.ts";
import type { ChangedDone, ChangedMembers, MembershipCalls } from "./ports.ts";

export interface ClusterBackend {
  readonly group: Group;
  readonly identity: Identity;
  readonly membership: MembershipCalls;
}

type Handler = UnaryMethod["unary"];

export function clusterMethods(backend: ClusterBackend): Method[] {
  const { membership } = backend;
  const handlers = {
    MemberAdd: change(
      backend,
      [MemberAddRequest, (request, done) => membership.add(request, done)],
      (call, header, { member, members }) =>
        reply(call, MemberAddResponse, { header, member, members: [...members] }),
    ),
    MemberRemove: change(
      backend,
      [MemberRemoveRequest, (request, done) => membership.remove(request, done)],
      answerMembers(MemberRemoveResponse),
    ),
    MemberUpdate: change(
      backend,
      [MemberUpdateRequest, (request, done) => membership.update(request, done)],
      answerMembers(MemberUpdateResponse),
    ),
    MemberPromote: change(
      backend,
      [MemberPromoteRequest, (request, done) => membership.promote(request, done)],
      answerMembers(MemberPromoteResponse),
    ),
    MemberList: list(backend),
  } satisfies Record<keyof typeof Cluster, Handler>;
  return Object.entries(handlers).flatMap(([name, unary]) => {
    const method = name as keyof typeof Cluster;
    return [Cluster, AetherCluster].map((service) => ({ path: service[method].path, unary }));
  });
}

type Answer = (call: ServerCall, header: ResponseHeader, changed: ChangedMembers) => void;

type MembersResponse = Pick<MemberListResponse, "header" | "members">;

function answerMembers(type: MessageType<MembersResponse>): Answer {
  return (call, header, { members }) => reply(call, type, { header, members: [...members] });
}

/** A request that changes the membership: decoded, run, answered with the members after it. */
function change<Request>(
  backend: ClusterBackend,
  [type, run]: readonly [MessageType<Request>, (request: Request, done: ChangedDone) => void],
  answer: Answer,
): Handler {
  return (call, bytes, start, end) => {
    const request = decodeRequest(type, bytes, start, end);
    checkSize(start, end);
    run(request, (changed) => {
      if (changed instanceof AetherError) fail(call, changed);
      else answer(call, headerWithoutRevision(backend), changed);
    });
  };
}

function list(backend: ClusterBackend): Handler {
  return (call, bytes, start, end) => {
    const { linearizable } = decodeRequest(MemberListRequest, bytes, start, end);
    backend.membership.list(linearizable, (members) => {
      if (members instanceof AetherError) fail(call, members);
      else {
        const header = headerWithoutRevision(backend);
        reply(call, MemberListResponse, { header, members: [...members] });
      }
    });
  };
}

function headerWithoutRevision({ identity, group }: ClusterBackend): ResponseHeader {
  return headerAt(identity, 0, group.term);
}
