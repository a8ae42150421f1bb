/** etcd's Election service (v3electionpb) over coord/. */
import { AetherError } from "../base/errors.ts";
import { campaign, leaderOf, observe, proclaim, resign } from "../coord/election.ts";
import type { Participant } from "../coord/ports.ts";
import { endOf, prefixOf } from "../coord/queue-keys.ts";
import {
  CampaignRequest,
  CampaignResponse,
  Election,
  type LeaderKey,
  LeaderRequest,
  LeaderResponse,
  ProclaimRequest,
  ProclaimResponse,
  ResignRequest,
  ResignResponse,
} from "../proto/gen/v3electionpb.ts";
import type { Method, ServerCall, StreamHandler } from "../wire/grpc/server-call.ts";
import { decodeRequest, reply, send } from "./answer.ts";
import { headerAt } from "./headers.ts";
import { oneRequest } from "./one-request.ts";
import type { CoordinationBackend, WaitingCalls } from "./waiting-calls.ts";

type Bytes = readonly [bytes: Uint8Array, start: number, end: number];

export class ElectionService {
  readonly #backend: CoordinationBackend;
  readonly #calls: WaitingCalls;

  constructor(backend: CoordinationBackend, calls: WaitingCalls) {
    this.#backend = backend;
    this.#calls = calls;
  }

  methods(): Method[] {
    return [
      { path: Election.Campaign.path, unary: this.#campaign.bind(this) },
      { path: Election.Proclaim.path, unary: this.#proclaim.bind(this) },
      { path: Election.Leader.path, unary: this.#leader.bind(this) },
      { path: Election.Observe.path, stream: (call) => this.#observe(call) },
      { path: Election.Resign.path, unary: this.#resign.bind(this) },
    ];
  }

  #header(revision: number): ReturnType<typeof headerAt> {
    return headerAt(this.#backend.identity, revision, this.#backend.group.term);
  }

  #campaign(call: ServerCall, ...bytes: Bytes): void {
    const request = decodeRequest(CampaignRequest, ...bytes);
    this.#calls.run(call, async (participant) => {
      const { key, rev, lease, revision } = await campaign(participant, request);
      const leader = { name: request.name, key, rev, lease };
      reply(call, CampaignResponse, { header: this.#header(revision), leader });
    });
  }

  #proclaim(call: ServerCall, ...bytes: Bytes): void {
    const { leader, value } = decodeRequest(ProclaimRequest, ...bytes);
    this.#calls.run(call, async ({ keys }) => {
      const revision = await proclaim(keys, given(leader), value);
      reply(call, ProclaimResponse, { header: this.#header(revision) });
    });
  }

  #resign(call: ServerCall, ...bytes: Bytes): void {
    const { leader } = decodeRequest(ResignRequest, ...bytes);
    this.#calls.run(call, async ({ keys }) => {
      const revision = await resign(keys, given(leader));
      reply(call, ResignResponse, { header: this.#header(revision) });
    });
  }

  #leader(call: ServerCall, ...bytes: Bytes): void {
    const { name } = decodeRequest(LeaderRequest, ...bytes);
    this.#calls.run(call, async ({ keys }) => {
      const { revision, kv } = await leaderOf(keys, name);
      reply(call, LeaderResponse, { header: this.#header(revision), kv });
    });
  }

  #observe(call: ServerCall): StreamHandler {
    let onGone = (): void => {};
    let onDrain = (): void => {};
    const report = async (participant: Participant, name: string): Promise<void> => {
      const { auth } = this.#backend;
      const user = auth.callerOf(call)?.user;
      const candidates = { key: prefixOf(name), rangeEnd: endOf(prefixOf(name)) };
      for await (const { revision, kv } of observe(participant, name)) {
        const refusal = auth.refusalToRead(user, candidates); // he may have lost the right
        if (refusal !== undefined) throw refusal;
        send(call, LeaderResponse, { header: this.#header(revision), kv });
        while (!call.writable && !participant.signal.aborted) {
          await new Promise<void>((resolve) => {
            onDrain = resolve;
          });
        }
      }
    };
    return oneRequest(call, {
      onRequest: (...bytes) => {
        const { name } = decodeRequest(LeaderRequest, ...bytes);
        onGone = this.#calls.run(call, (participant) => report(participant, name));
      },
      onEnd: () => {
        onGone();
        onDrain();
      },
      onDrain: () => onDrain(),
    });
  }
}

function given(leader: LeaderKey | undefined): LeaderKey {
  if (leader === undefined) throw new AetherError("leader_not_given");
  return leader;
}
