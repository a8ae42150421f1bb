/** A client of one member that sends one request at a time and writes down what came of it. */
import { unreachable } from "../../src/base/assert.ts";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { GrpcError } from "../../src/client/grpc-error.ts";
import {
  CompactionRequest,
  KV,
  Lease,
  LeaseGrantRequest,
  LeaseKeepAliveRequest,
  LeaseRevokeRequest,
  LeaseTimeToLiveRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import type { CallRecorder, Recorder } from "../check/history.ts";
import type { Answer, Request } from "../check/requests.ts";
import {
  deleteAnswer,
  deleteMessage,
  putAnswer,
  putMessage,
  rangeAnswer,
  rangeMessage,
  txnAnswer,
  txnMessage,
} from "./wire-form.ts";

/** The server said no to these: they did not happen, and the reason is a matter of the state. */
const REFUSALS: Readonly<Record<string, string>> = {
  "etcdserver: requested lease not found": "lease_not_found",
  "etcdserver: lease already exists": "lease_exists",
  "etcdserver: mvcc: required revision has been compacted": "compacted",
  "etcdserver: mvcc: required revision is a future revision": "future_revision",
};

export class RecordingClient {
  readonly #client: EtcdClient;
  readonly #recorder: Recorder;
  readonly #timeoutMs: number;

  constructor(endpoint: string, recorder: Recorder, timeoutMs: number) {
    this.#client = new EtcdClient({ endpoints: [endpoint] });
    this.#recorder = recorder;
    this.#timeoutMs = timeoutMs;
  }

  /** The answer; undefined when there was none, or a refusal. */
  async send(request: Request): Promise<Answer | undefined> {
    const call = this.#recorder.call(request);
    try {
      const answer = await this.#ask(request);
      call.answered(answer);
      return answer;
    } catch (error) {
      this.#failed(call, error);
      return undefined;
    }
  }

  close(): void {
    this.#client.close();
  }

  #failed(call: CallRecorder, error: unknown): void {
    if (!(error instanceof GrpcError)) throw error;
    const refusal = REFUSALS[error.message];
    if (refusal !== undefined) call.refused(refusal);
    else if (error.unprocessed) call.refused("unavailable");
    // Whatever else went wrong, it may have happened, or may happen yet.
  }

  async #ask(request: Request): Promise<Answer> {
    const options = { timeoutMs: this.#timeoutMs };
    const { channel } = this.#client;
    switch (request.kind) {
      case "range":
        return rangeAnswer(await channel.call(KV.Range, rangeMessage(request), options));
      case "put":
        return putAnswer(await channel.call(KV.Put, putMessage(request), options));
      case "delete":
        return deleteAnswer(await channel.call(KV.DeleteRange, deleteMessage(request), options));
      case "txn":
        return txnAnswer(await channel.call(KV.Txn, txnMessage(request), options));
      case "compact": {
        const message = CompactionRequest.create({ revision: request.revision });
        const { header } = await channel.call(KV.Compact, message, options);
        return { kind: "compact", revision: header?.revision ?? 0 };
      }
      case "grant":
      case "revoke":
      case "renew":
      case "life":
        return await this.#askLease(request);
      default:
        return unreachable(request);
    }
  }

  async #askLease(
    request: Extract<Request, { kind: "grant" | "revoke" | "renew" | "life" }>,
  ): Promise<Answer> {
    const options = { timeoutMs: this.#timeoutMs };
    const { channel } = this.#client;
    const ID = BigInt(request.id);
    if (request.kind === "grant") {
      const message = LeaseGrantRequest.create({ ID, TTL: request.ttlSeconds });
      const { header, ...granted } = await channel.call(Lease.LeaseGrant, message, options);
      const { revision = 0 } = header ?? {};
      return { kind: "grant", revision, id: `${granted.ID}`, ttlSeconds: granted.TTL };
    }
    if (request.kind === "revoke") {
      const message = LeaseRevokeRequest.create({ ID });
      const { header } = await channel.call(Lease.LeaseRevoke, message, options);
      return { kind: "revoke", revision: header?.revision ?? 0 };
    }
    if (request.kind === "life") {
      const message = LeaseTimeToLiveRequest.create({ ID });
      const { TTL } = await channel.call(Lease.LeaseTimeToLive, message, options);
      return { kind: "life", ttlSeconds: TTL };
    }
    const stream = channel.open(Lease.LeaseKeepAlive, options);
    stream.send(LeaseKeepAliveRequest.create({ ID }));
    try {
      const { value } = await stream.next();
      if (value === undefined) throw new Error("a keep-alive ended without an answer");
      return { kind: "renew", ttlSeconds: value.TTL };
    } finally {
      stream.cancel();
    }
  }
}
