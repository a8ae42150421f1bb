/**
 * etcd's API in the words of a program: thin over Channel, one method an operation. Whatever is
 * missing here is called by `channel.call(Service.Method, request)`.
 *
 * Keys are Latin-1 strings, one byte a character (base/bytes: keyFromText for text).
 */
import type { Key } from "../base/bytes.ts";
import {
  type Compare,
  DeleteRangeRequest,
  type DeleteRangeResponse,
  KV,
  Lease,
  LeaseGrantRequest,
  type LeaseGrantResponse,
  LeaseRevokeRequest,
  type LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  type LeaseTimeToLiveResponse,
  PutRequest,
  type PutResponse,
  RangeRequest,
  type RangeResponse,
  type RequestOp,
  TxnRequest,
  type TxnResponse,
} from "../proto/gen/etcdserverpb.ts";
import type { KeyValue } from "../proto/gen/mvccpb.ts";
import { type CallOptions, Channel, type ChannelOptions } from "./channel.ts";
import { type Credentials, TokenAuthorizer } from "./credentials.ts";
import { LeaseKeeper, type LeaseKeeperOptions } from "./lease-keeper.ts";
import { Watcher, type WatchOptions } from "./watcher.ts";

export interface EtcdClientOptions extends ChannelOptions {
  /** Sent when the server asks for a token, and by authenticate(). */
  readonly credentials?: Credentials;
  /** For each call that says nothing else. */
  readonly timeoutMs?: number;
}

/** All methods reject with GrpcError. */
export class EtcdClient {
  readonly channel: Channel;
  readonly #authorizer: TokenAuthorizer | undefined;
  readonly #defaults: CallOptions;

  constructor(options: EtcdClientOptions) {
    this.channel = new Channel(options);
    this.#defaults = options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs };
    if (options.credentials === undefined) return;
    this.#authorizer = new TokenAuthorizer(this.channel, options.credentials);
    this.channel.authorizer = this.#authorizer;
  }

  /** Gets a token before the first call needs it; false without credentials or authentication. */
  async authenticate(): Promise<boolean> {
    return (await this.#authorizer?.authenticate()) === true;
  }

  /** The key's present state, or undefined. */
  async get(key: Key, options?: CallOptions): Promise<KeyValue | undefined> {
    return (await this.range({ key }, options)).kvs[0];
  }

  range(request: Partial<RangeRequest>, options?: CallOptions): Promise<RangeResponse> {
    return this.channel.call(KV.Range, RangeRequest.create(request), this.#options(options));
  }

  put(
    key: Key,
    value: Uint8Array,
    more: Partial<PutRequest> = {},
    options?: CallOptions,
  ): Promise<PutResponse> {
    const request = PutRequest.create({ ...more, key, value });
    return this.channel.call(KV.Put, request, this.#options(options));
  }

  delete(
    key: Key,
    more: Partial<DeleteRangeRequest> = {},
    options?: CallOptions,
  ): Promise<DeleteRangeResponse> {
    const request = DeleteRangeRequest.create({ ...more, key });
    return this.channel.call(KV.DeleteRange, request, this.#options(options));
  }

  txn(
    compare: Compare[],
    success: RequestOp[],
    failure: RequestOp[] = [],
    options?: CallOptions,
  ): Promise<TxnResponse> {
    const request = TxnRequest.create({ compare, success, failure });
    return this.channel.call(KV.Txn, request, this.#options(options));
  }

  /** Survives disconnects without a gap or a repetition; iterate it. */
  watch(options: WatchOptions): Watcher {
    return new Watcher(this.channel, options);
  }

  /** `ID` 0 or absent lets the server choose. */
  grantLease(
    request: Partial<LeaseGrantRequest>,
    options?: CallOptions,
  ): Promise<LeaseGrantResponse> {
    const full = LeaseGrantRequest.create(request);
    return this.channel.call(Lease.LeaseGrant, full, this.#options(options));
  }

  revokeLease(ID: bigint, options?: CallOptions): Promise<LeaseRevokeResponse> {
    const request = LeaseRevokeRequest.create({ ID });
    return this.channel.call(Lease.LeaseRevoke, request, this.#options(options));
  }

  leaseTimeToLive(
    ID: bigint,
    keys = false,
    options?: CallOptions,
  ): Promise<LeaseTimeToLiveResponse> {
    const request = LeaseTimeToLiveRequest.create({ ID, keys });
    return this.channel.call(Lease.LeaseTimeToLive, request, this.#options(options));
  }

  /** Renews until closed; look at `ended` of what it returns. */
  keepAlive(ID: bigint, options?: LeaseKeeperOptions): LeaseKeeper {
    return new LeaseKeeper(this.channel, ID, options);
  }

  /** Ends all connections, watches and renewals. */
  close(): void {
    this.channel.close();
  }

  #options(options: CallOptions | undefined): CallOptions {
    return options === undefined ? this.#defaults : { ...this.#defaults, ...options };
  }
}
