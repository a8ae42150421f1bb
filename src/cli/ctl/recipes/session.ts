/**
 * A lease that lives as long as the program, for what must end with it: a lock, a candidacy. The
 * keys are those of etcd's client library, so that etcdctl, its users' programs and this client
 * wait for each other:
 *
 *   name/694d81417acd4754      a lock or election, and the lease (in hexadecimal) of who waits
 *
 * Who has the key that was created first has the lock, or leads; the others wait in that order.
 */
import { type Key, keyFromText } from "../../../base/bytes.ts";
import type { EtcdClient } from "../../../client/etcd-client.ts";
import { GrpcError } from "../../../client/grpc-error.ts";
import type { LeaseKeeper } from "../../../client/lease-keeper.ts";
import {
  Lease,
  LeaseGrantRequest,
  type RangeRequest,
  type RangeResponse,
  type ResponseHeader,
  SortOrder,
  SortTarget,
} from "../../../proto/gen/etcdserverpb.ts";
import { type Event, EventType } from "../../../proto/gen/mvccpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import type { Invocation } from "../invocation.ts";
import { prefixEnd } from "../key-range.ts";

/** What etcd's library gives a session that says nothing. */
export const SESSION_TTL_SECONDS = 60;

export interface Change {
  readonly event: Event;
  readonly header: ResponseHeader | undefined;
}

export class Session {
  readonly client: EtcdClient;
  readonly lease: bigint;
  readonly #timeoutMs: number;
  readonly #keeper: LeaseKeeper;
  readonly #stop: AbortSignal;

  private constructor(call: Invocation, client: EtcdClient, lease: bigint, ttlSeconds: number) {
    this.client = client;
    this.lease = lease;
    this.#timeoutMs = call.globals.commandTimeoutMs;
    this.#keeper = client.keepAlive(lease, { ttlSeconds });
    this.#stop = call.io.interrupted();
  }

  /** Grants a lease and keeps it alive; a TTL of 0 or less is the library's. */
  static async open(call: Invocation, ttlSeconds: number): Promise<Session> {
    const client = await call.client();
    const TTL = ttlSeconds > 0 ? ttlSeconds : SESSION_TTL_SECONDS;
    const granted = await call.call(Lease.LeaseGrant, LeaseGrantRequest.create({ TTL }), client);
    return new Session(call, client, granted.ID, granted.TTL);
  }

  /** Aborted when the program is asked to stop. */
  get stop(): AbortSignal {
    return this.#stop;
  }

  /** This session's key in the queue for `name`. */
  keyIn(name: string): Key {
    return `${keyFromText(name)}/${this.lease.toString(16)}`;
  }

  /** The same, or a failure with `why` once the lease may be gone: then nothing is ours. */
  orLost<T>(work: Promise<T>, why: string): Promise<T> {
    const lost = this.#keeper.ended.then(
      () => work,
      (cause: unknown) => {
        throw new ExitError(EXIT.FAILED, why, { cause });
      },
    );
    return Promise.race([work, lost]);
  }

  range(request: Partial<RangeRequest>): Promise<RangeResponse> {
    return this.client.range(request, { timeoutMs: this.#timeoutMs, signal: this.#stop });
  }

  /** Waits until everybody who came before `revision` has left the queue for `name`. */
  async waitForTurn(name: string, revision: number): Promise<void> {
    const prefix = `${keyFromText(name)}/`;
    for (;;) {
      const { header, kvs } = await this.range({
        key: prefix,
        rangeEnd: prefixEnd(prefix),
        limit: 1,
        sortOrder: SortOrder.DESCEND,
        sortTarget: SortTarget.CREATE,
        maxCreateRevision: revision - 1,
      });
      const [last] = kvs;
      if (last === undefined) return;
      await waitForDelete(this.client, last.key, header?.revision ?? 0, this.#stop);
    }
  }

  /** Ends the lease, and with it what is bound to it. */
  async end(): Promise<void> {
    this.#keeper.close();
    await this.client.revokeLease(this.lease, { timeoutMs: this.#timeoutMs });
  }

  /** end() where something has failed already: what fails now as well is not the news. */
  async abandon(): Promise<void> {
    try {
      await this.end();
    } catch (error) {
      if (!(error instanceof GrpcError)) throw error; // else the lease runs out by itself
    }
  }
}

/** The oldest key of those in the queue for `name`: whose turn it is. */
export function firstOf(name: string): Partial<RangeRequest> {
  const key = `${keyFromText(name)}/`;
  const order = { sortOrder: SortOrder.ASCEND, sortTarget: SortTarget.CREATE };
  return { key, rangeEnd: prefixEnd(key), limit: 1, ...order };
}

async function waitForDelete(
  client: EtcdClient,
  key: Key,
  startRevision: number,
  signal: AbortSignal,
): Promise<void> {
  for await (const { event } of changes(client, { key, startRevision, signal })) {
    if (event.type === EventType.DELETE) return;
  }
  throw new ExitError(EXIT.FAILED, "context canceled"); // nothing but a signal ends a watch
}

interface Watched {
  readonly key: Key;
  readonly rangeEnd?: Key;
  readonly startRevision: number;
  readonly signal: AbortSignal;
}

/** Event after event until `signal`. */
export async function* changes(client: EtcdClient, watched: Watched): AsyncGenerator<Change> {
  const watcher = client.watch(watched);
  for await (const { events, response } of watcher) {
    for (const event of events) yield { event, header: response.header };
  }
}
