/**
 * Requests as plain data: the part of the etcd API that one store answers alone and the same way
 * every time. Names are those of the protocol; keys are Latin-1 strings, numbers are safe
 * integers, lease ids are small. A request is replayed as it is by anything that speaks the API.
 */

export interface PutBody {
  readonly key: string;
  readonly value: string;
  readonly lease: number;
  readonly prevKv: boolean;
  readonly ignoreValue: boolean;
  readonly ignoreLease: boolean;
}

export interface RangeBody {
  readonly key: string;
  readonly rangeEnd: string;
  readonly limit: number;
  readonly revision: number;
  readonly sortOrder: number;
  readonly sortTarget: number;
  readonly serializable: boolean;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}

export interface DeleteRangeBody {
  readonly key: string;
  readonly rangeEnd: string;
  readonly prevKv: boolean;
}

/** Target VERSION, CREATE, MOD, VALUE, LEASE with its member of the union, or none of them. */
export interface CompareBody {
  readonly result: number;
  readonly target: number;
  readonly key: string;
  readonly rangeEnd: string;
  readonly version?: number;
  readonly createRevision?: number;
  readonly modRevision?: number;
  readonly value?: string;
  readonly lease?: number;
}

/** One of four, or none (which servers must refuse). */
export interface OpBody {
  readonly requestRange?: RangeBody;
  readonly requestPut?: PutBody;
  readonly requestDeleteRange?: DeleteRangeBody;
  readonly requestTxn?: TxnBody;
}

export interface TxnBody {
  readonly compare: readonly CompareBody[];
  readonly success: readonly OpBody[];
  readonly failure: readonly OpBody[];
}

export interface WatchBody {
  readonly key: string;
  readonly rangeEnd: string;
  readonly startRevision: number;
  readonly filters: readonly number[];
  readonly prevKv: boolean;
  readonly watchId: number;
}

export type ModelRequest =
  | { readonly rpc: "Put"; readonly body: PutBody }
  | { readonly rpc: "Range"; readonly body: RangeBody }
  | { readonly rpc: "DeleteRange"; readonly body: DeleteRangeBody }
  | { readonly rpc: "Txn"; readonly body: TxnBody }
  | { readonly rpc: "Compact"; readonly body: { revision: number; physical: boolean } }
  | { readonly rpc: "LeaseGrant"; readonly body: { TTL: number; ID: number } }
  | { readonly rpc: "LeaseRevoke"; readonly body: { ID: number } }
  | { readonly rpc: "LeaseTimeToLive"; readonly body: { ID: number; keys: boolean } }
  | { readonly rpc: "LeaseLeases"; readonly body: Record<string, never> }
  | WatchRequest;

/** Both act on the one watch stream of a run. */
export type WatchRequest =
  | { readonly rpc: "Watch"; readonly body: WatchBody }
  | { readonly rpc: "CancelWatch"; readonly body: { watchId: number } };

/** What has one answer. */
export type UnaryRequest = Exclude<ModelRequest, WatchRequest>;

/** What a generator needs to know of the store to ask for revisions that are near. */
export interface ModelContext {
  readonly revision: number;
  readonly compactRevision: number;
}
