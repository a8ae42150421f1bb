/**
 * A right store for the checkers to be tried on: the naive machine of test/state, asked with the
 * requests of requests.ts. It shares no code with the checkers' own store.
 */
import { AetherError } from "../../src/base/errors.ts";
import {
  Compare as CompareMessage,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest as RangeMessage,
  RequestOp,
  TxnRequest as TxnMessage,
} from "../../src/proto/gen/etcdserverpb.ts";
import { Model, type ModelResult, type Shown, shown } from "../state/model.ts";
import type { Refused } from "./execute.ts";
import type { SeenEvent } from "./history.ts";
import type {
  Answer,
  Compare,
  KeyValue,
  Operation,
  OperationAnswer,
  RangeRequest,
  Refusal,
  Request,
} from "./requests.ts";

export type Reply = Answer | Refused;

export class NaiveServer {
  #model = new Model();
  /** Everything that was run, to run it again without some of it. */
  #log: { readonly request: Request; readonly revision: number }[] = [];
  /** Until when each lease lives; the caller ends it. */
  readonly deadlines = new Map<string, number>();

  get revision(): number {
    return this.#model.revision;
  }

  get compactRevision(): number {
    return this.#model.compactRevision;
  }

  hasLease(id: string): boolean {
    return this.#model.leases.has(BigInt(id));
  }

  keysOf(lease: string): string[] {
    return this.#model.keysOf(BigInt(lease));
  }

  run(request: Request): Reply {
    const reply = this.#run(request);
    this.#log.push({ request, revision: this.revision });
    return reply;
  }

  /** As if the last request had never been. */
  forgetLast(): void {
    this.#replay(this.#log.slice(0, -1));
  }

  /** As if the request that made the newest revision had never been. */
  forgetRevision(): void {
    const made = this.#log.findIndex(({ revision }) => revision === this.revision);
    this.#replay(this.#log.filter((_, index) => index !== made));
  }

  /** The lease is gone, and its keys are left. */
  forgetLease(id: string): void {
    this.#model.leases.delete(BigInt(id));
  }

  /** The state of the past, told as that of then. */
  readAt(request: RangeRequest, revision: number): Answer {
    const { key, end = "", limit = 0 } = request;
    const at =
      (request.revision ?? 0) > 0 ? Math.min(request.revision as number, revision) : revision;
    const found = this.#model.all(key, end, at).map((version) => kvOf(shown(version)));
    const more = limit > 0 && found.length > limit;
    const kvs = more ? found.slice(0, limit) : found;
    return { kind: "range", revision, kvs, count: found.length, more };
  }

  /** All events of a revision, in their order. */
  eventsAt(revision: number): SeenEvent[] {
    const changes = this.#model.changes.filter((change) => change.revision === revision);
    return changes.map((change): SeenEvent => {
      const before = this.#model.at(change.key, revision - 1);
      const prevKv = before === undefined ? null : kvOf(shown(before));
      if (change.version > 0) return { type: "put", kv: kvOf(shown(change)), prevKv };
      return { type: "delete", kv: { key: change.key, modRevision: revision }, prevKv };
    });
  }

  #replay(log: readonly { readonly request: Request }[]): void {
    this.#model = new Model();
    this.#log = [];
    for (const { request } of log) this.run(request);
  }

  #run(request: Request): Reply {
    try {
      const answer = this.#answer(request);
      this.#model.commit();
      return answer;
    } catch (error) {
      if (!(error instanceof AetherError)) throw error;
      return { kind: "refused", code: error.code as Refusal };
    }
  }

  #answer(request: Request): Answer {
    const model = this.#model;
    const { revision } = model;
    switch (request.kind) {
      case "grant":
        model.grant(BigInt(request.id), request.ttlSeconds);
        return { ...request, revision };
      case "revoke":
        model.revoke(BigInt(request.id));
        return { kind: "revoke", revision: model.revision };
      case "compact":
        model.compact(request.revision);
        return { kind: "compact", revision };
      case "renew":
      case "life":
        return { kind: request.kind, ttlSeconds: model.leases.get(BigInt(request.id)) ?? 0 };
      case "txn": {
        const result = model.txn(
          TxnMessage.create({
            compare: request.compare.map(compareOf),
            success: request.success.map(opOf),
            failure: request.failure.map(opOf),
          }),
        );
        return answerOf(result);
      }
      default:
        return this.#operation(request);
    }
  }

  #operation(operation: Operation): Answer {
    const { requestPut, requestRange, requestDeleteRange } = opOf(operation);
    if (requestPut) return answerOf(this.#model.put(requestPut));
    if (requestRange) return answerOf(this.#model.range(requestRange));
    return answerOf(this.#model.deleteRange(requestDeleteRange as DeleteRangeRequest));
  }
}

function opOf(operation: Operation): RequestOp {
  const { key } = operation;
  if (operation.kind === "put") {
    const { lease = "0", prevKv = false } = operation;
    const value = Buffer.from(operation.value, "latin1");
    const requestPut = PutRequest.create({ key, value, lease: BigInt(lease), prevKv });
    return RequestOp.create({ requestPut });
  }
  const rangeEnd = operation.end ?? "";
  if (operation.kind === "delete") {
    const { prevKv = false } = operation;
    const requestDeleteRange = DeleteRangeRequest.create({ key, rangeEnd, prevKv });
    return RequestOp.create({ requestDeleteRange });
  }
  const { revision = 0, limit = 0 } = operation;
  const requestRange = RangeMessage.create({ key, rangeEnd, revision, limit });
  return RequestOp.create({ requestRange });
}

function compareOf({ target, result, key, value = "", number = 0 }: Compare): CompareMessage {
  const targets = { version: 0, create: 1, mod: 2, value: 3 } as const;
  const results = { "=": 0, ">": 1, "<": 2, "!=": 3 } as const;
  const what = {
    version: { version: number },
    create: { createRevision: number },
    mod: { modRevision: number },
    value: { value: Buffer.from(value, "latin1") },
  }[target];
  return CompareMessage.create({ key, target: targets[target], result: results[result], ...what });
}

function answerOf(result: ModelResult): Answer {
  if (result.kind === "txn") {
    const { revision, succeeded } = result;
    const responses = result.responses.map((one) => answerOf(one) as OperationAnswer);
    return { kind: "txn", revision, succeeded, responses };
  }
  const { revision } = result;
  if (result.kind === "put") {
    const prevKv = result.previous === undefined ? null : kvOf(result.previous);
    return { kind: "put", revision, prevKv };
  }
  if (result.kind === "range") return { ...result, kvs: result.kvs.map(kvOf) };
  const { deleted } = result;
  return { kind: "delete", revision, deleted, prevKvs: result.previous.map(kvOf) };
}

function kvOf({ key, value, create, mod, version, lease }: Shown): KeyValue {
  const modRevision = mod;
  return { key, value, createRevision: create, modRevision, version, lease: lease.toString() };
}
