/** Members of a toy cluster, each a ClusterLink over pipes in memory with a group that records. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AetherError } from "../../src/base/errors.ts";
import { Prng } from "../../src/base/prng.ts";
import { membersOnly } from "../../src/net/peers/admission.ts";
import { peerServer } from "../../src/net/peers/server.ts";
import type { LeaseAnswer, LeaseLife } from "../../src/node/ports.ts";
import type { MemberChangePeerResponse } from "../../src/proto/gen/aether.v1.ts";
import { Member } from "../../src/proto/gen/etcdserverpb.ts";
import type { Message, SnapshotMessage } from "../../src/raft/message.ts";
import type { MemberId, SnapshotMeta } from "../../src/raft/types.ts";
import { ClusterLink, type ClusterLinkOptions } from "../../src/server/cluster-link.ts";
import type { LinkedGroup } from "../../src/server/linked-group.ts";
import { GrpcCode } from "../../src/wire/grpc/status.ts";
import { CLUSTER, ID, Warnings } from "../net/peers/members.ts";
import { PipeNet, ToyTimers, turn } from "../net/peers/pipes.ts";

export const GROUP = 1;

type ReadDone = (error: AetherError | undefined) => void;

/** Answers what a test sets, and keeps what it is given. */
export class FakeGroup implements LinkedGroup {
  readonly records: Member[] = [];
  readonly removed: bigint[] = [];
  readonly machine = {
    revision: 1,
    members: () => this.records,
    member: (id: bigint) => this.records.find(({ ID: each }) => each === id),
    removedMembers: () => this.removed,
  };
  term = 7;
  leader = ID(1);
  appliedIndex = 10;
  readonly received: Message[] = [];
  readonly proposals: { term: number; payload: Uint8Array }[] = [];
  readonly refused: { sequence: number; error: AetherError }[] = [];
  readonly unreached: MemberId[] = [];
  readonly snapshots: SnapshotMessage[] = [];
  refusal: AetherError | undefined;
  installFailure: AetherError | undefined;
  lives: (ids: readonly bigint[]) => readonly LeaseLife[] | AetherError = () => [];
  readonly asked: { kind: string; ids: readonly bigint[] }[] = [];
  readonly leaseCalls = {
    renewHere: (ids: readonly bigint[], done: LeaseAnswer) => this.#lease("renew", ids, done),
    livesHere: (ids: readonly bigint[], done: LeaseAnswer) => this.#lease("look", ids, done),
  };
  holdsReads = false;
  readonly #reads: ReadDone[] = [];

  receive(messages: readonly Message[]): void {
    this.received.push(...messages);
  }

  receiveProposal(
    term: number,
    payload: Uint8Array,
    refuse: (error: AetherError, leader: MemberId) => void,
  ): void {
    if (this.refusal !== undefined) refuse(this.refusal, this.leader);
    else this.proposals.push({ term, payload });
  }

  proposalRefused(sequence: number, error: AetherError): void {
    this.refused.push({ sequence, error });
  }

  unreachable(id: MemberId): void {
    this.unreached.push(id);
  }

  receiveSnapshot(message: SnapshotMessage, done: (error?: AetherError) => void): void {
    this.snapshots.push(message);
    done(this.installFailure);
  }

  read(done: ReadDone): void {
    if (this.holdsReads) this.#reads.push(done);
    else done(undefined);
  }

  /** What reads wait for has happened, or never will. */
  endReads(error?: AetherError): void {
    for (const done of this.#reads.splice(0)) done(error);
  }

  #lease(kind: string, ids: readonly bigint[], done: LeaseAnswer): void {
    this.asked.push({ kind, ids });
    done(this.lives(ids));
  }
}

export interface LinkedMember {
  readonly id: MemberId;
  readonly link: ClusterLink;
  readonly group: FakeGroup;
  readonly log: Warnings;
  readonly url: string;
  readonly directory: string;
  /** What was staged: the file's path. */
  readonly staged: { received: string; meta: SnapshotMeta }[];
  removals: number;
}

/** A network of members, and time that passes when a test says so. */
export class LinkedWorld {
  readonly timers = new ToyTimers();
  readonly net = new PipeNet(this.timers, 3);
  readonly members: LinkedMember[] = [];

  constructor() {
    this.timers.ticks.push((nowMs) => this.net.tick(nowMs));
  }

  member(n: number, extra: Partial<ClusterLinkOptions> = {}): LinkedMember {
    const { timers, net } = this;
    const url = `http://member-${n}:1`;
    const directory = mkdtempSync(join(tmpdir(), "aether-link-"));
    const log = new Warnings();
    const staged: LinkedMember["staged"] = [];
    const link = new ClusterLink({
      peers: {
        ...{ clusterId: CLUSTER, self: ID(n), dialer: net, timers, log },
        authorize: membersOnly(undefined),
        random: new Prng(n),
      },
      groupNumber: GROUP,
      leaseCallMs: 1000,
      changeCallMs: 7000,
      snapshotsDirectory: join(directory, "snapshots"),
      stage: async (received, meta) => void staged.push({ received, meta }),
      takeHash: (_revision, _isWanted, done) => done(new AetherError("compacted")),
      changeHere: (_request, done) => done(new AetherError("not_leader")),
      onRemoved: () => {
        member.removals++;
      },
      ...extra,
    });
    const group = new FakeGroup();
    link.attach(group);
    const member = { id: ID(n), link, group, log, url, directory, staged, removals: 0 };
    const mapError = (error: unknown) => ({ code: GrpcCode.INTERNAL, message: String(error) });
    net.servers.set(url, peerServer(link.methods, mapError));
    this.members.push(member);
    return member;
  }

  /** Makes all of them members; resolves when they are connected. */
  async introduce(removed: readonly bigint[] = []): Promise<void> {
    const records = this.members.map(({ id, url }) =>
      Member.create({ ID: id, name: `member-${id & 0xffn}`, peerURLs: [url] }),
    );
    for (const { group, link } of this.members) {
      group.records.push(...records);
      link.setMembers(records, removed);
    }
    await turn();
  }

  async end(): Promise<void> {
    for (const { link, directory } of this.members) {
      await link.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  }
}

export function added(id: bigint): MemberChangePeerResponse {
  return { index: 44, member: Member.create({ ID: id }) };
}
