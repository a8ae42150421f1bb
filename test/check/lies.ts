/**
 * Lies of a server, to see that the checkers notice. Each is told once in a run, on an occasion on
 * which it can be noticed as a rule.
 */
import type { NaiveServer, Reply } from "./naive-server.ts";
import type {
  Answer,
  PutAnswer,
  PutRequest,
  RangeAnswer,
  RangeRequest,
  Request,
  SeenKeyValue,
  TxnRequest,
} from "./requests.ts";
import type { Circumstances, Lie } from "./simulation.ts";

type Told = (server: NaiveServer, request: Request, now: Circumstances) => Reply | undefined;

/** A lie that is told on the first occasion. */
function once(told: Told): () => Lie {
  return () => {
    const lie: Lie = {
      isTold: false,
      tell(server, request, now) {
        if (lie.isTold || now.isRefused) return undefined;
        const reply = told(server, request, now);
        lie.isTold = reply !== undefined;
        return reply;
      },
    };
    return lie;
  };
}

/** Lies about reads that may not be stale. */
function read(
  told: (server: NaiveServer, request: RangeRequest, now: Circumstances) => Reply | undefined,
) {
  return once((server, request, now) => {
    const isPlain = request.kind === "range" && !request.serializable && !request.revision;
    return isPlain && !now.isLost ? told(server, request, now) : undefined;
  });
}

function put(
  told: (server: NaiveServer, request: PutRequest, now: Circumstances) => Reply | undefined,
) {
  return once((server, request, now) => {
    const isPlain = request.kind === "put" && request.lease === undefined;
    return isPlain && !now.isLost ? told(server, request, now) : undefined;
  });
}

function txn(told: (server: NaiveServer, request: TxnRequest) => Reply | undefined) {
  return once((server, request, { isLost }) => {
    return request.kind === "txn" && !isLost ? told(server, request) : undefined;
  });
}

function kvsOf(answer: Reply): readonly SeenKeyValue[] {
  return answer.kind === "range" ? (answer.kvs ?? []) : [];
}

function same(a: Reply, b: Reply): boolean {
  return JSON.stringify(kvsOf(a)) === JSON.stringify(kvsOf(b));
}

function withKvs(answer: Answer, kvs: readonly SeenKeyValue[]): RangeAnswer {
  return { ...(answer as RangeAnswer), kvs, count: kvs.length };
}

/** An older state of what a read asks for, that differs from the present one. */
function older(server: NaiveServer, request: RangeRequest, newest: number): Answer | undefined {
  const present = server.readAt(request, server.revision);
  for (let revision = newest; revision > Math.max(newest - 20, 1); revision--) {
    const past = server.readAt(request, revision);
    if (!same(past, present)) return past;
  }
  return undefined;
}

const hasPuts = (branch: TxnRequest["success"]): boolean =>
  branch.some(({ kind }) => kind === "put");

export const LIES: Readonly<Record<string, () => Lie>> = {
  "stale read": read((server, request, { told }) => {
    return told > 2 ? older(server, request, told - 1) : undefined;
  }),

  "stale read under a new revision": read((server, request) => {
    const past = older(server, request, server.revision - 1);
    return past === undefined ? undefined : { ...past, revision: server.revision };
  }),

  "stale read of a revision that nobody else sees": read((server, request, { told }) => {
    const answer = server.readAt(request, told - 1);
    return told > 2 ? answer : undefined;
  }),

  "phantom value": read((server, request) => {
    const answer = server.readAt(request, server.revision);
    const [first, ...rest] = kvsOf(answer);
    if (first === undefined) return undefined;
    return withKvs(answer, [{ ...first, value: "phantom" }, ...rest]);
  }),

  "wrong version": read((server, request) => {
    const answer = server.readAt(request, server.revision);
    const [first, ...rest] = kvsOf(answer);
    if (first?.version === undefined) return undefined;
    return withKvs(answer, [{ ...first, version: first.version + 1 }, ...rest]);
  }),

  "list with an old entry": read((server, request) => {
    if (request.end === undefined || (request.limit ?? 0) > 0) return undefined;
    const answer = server.readAt(request, server.revision);
    const kvs = [...kvsOf(answer)];
    const index = kvs.findIndex((kv) => (kv.version ?? 1) > 1);
    const kv = kvs[index];
    if (kv?.modRevision === undefined) return undefined;
    const [old] = kvsOf(server.readAt({ kind: "range", key: kv.key }, kv.modRevision - 1));
    if (old === undefined) return undefined;
    kvs[index] = old;
    return withKvs(answer, kvs);
  }),

  "list without an entry": read((server, request) => {
    if (request.end === undefined || (request.limit ?? 0) > 0) return undefined;
    const answer = server.readAt(request, server.revision);
    const kvs = kvsOf(answer);
    return kvs.length < 2 ? undefined : withKvs(answer, kvs.slice(0, -1));
  }),

  "past read of another revision": once((server, request, { isLost }) => {
    if (request.kind !== "range" || request.serializable || isLost) return undefined;
    const { revision = 0 } = request;
    if (revision <= Math.max(server.compactRevision, 2) || revision > server.revision)
      return undefined;
    const [then, before] = [revision, revision - 1].map((at) => server.readAt(request, at));
    if (then === undefined || before === undefined || same(then, before)) return undefined;
    return { ...before, revision: server.revision };
  }),

  "stale state that never was": once((server, request, { isLost }) => {
    if (request.kind !== "range" || request.serializable !== true || isLost) return undefined;
    const { revision } = server;
    const [now, before] = [server.readAt(request, revision), older(server, request, revision - 1)];
    return before === undefined ? undefined : { ...withKvs(now, kvsOf(before)), revision };
  }),

  "write acknowledged and lost": put((server) => {
    return { kind: "put", revision: server.revision + 1, prevKv: null };
  }),

  "write that spends a revision on nothing": put((server, request) => {
    const [before] = kvsOf(server.readAt({ kind: "range", key: request.key }, server.revision));
    if (before?.value === undefined || before.lease !== "0") return undefined;
    return server.run({ ...request, value: before.value });
  }),

  "write applied twice": put((server, request) => {
    const answer = server.run(request);
    server.run(request);
    return answer;
  }),

  "write of unknown outcome applied twice": once((server, request, { isLost }) => {
    if (request.kind !== "put" || request.lease !== undefined || !isLost) return undefined;
    server.run(request);
    return server.run(request);
  }),

  "write applied though refused": () => {
    const lie: Lie = {
      isTold: false,
      tell(server, request, { isRefused }) {
        const isPlain = request.kind === "put" && request.lease === undefined;
        if (lie.isTold || !isRefused || !isPlain) return undefined;
        lie.isTold = true;
        return server.run(request);
      },
    };
    return lie;
  },

  "write lost after its answer": () => {
    let written = 0;
    const lie: Lie = {
      isTold: false,
      tell(server, request, { isLost, isRefused, told }) {
        if (lie.isTold || isRefused) return undefined;
        if (written !== 0 && written === server.revision && told >= written) {
          server.forgetRevision();
          lie.isTold = true;
          return undefined;
        }
        if (request.kind !== "put" || request.lease !== undefined || isLost) return undefined;
        const answer = server.run(request);
        written = server.revision;
        return answer;
      },
    };
    return lie;
  },

  "write seen and then taken back": () => {
    let written: { key: string; revision: number } | undefined;
    const lie: Lie = {
      isTold: false,
      tell(server, request, { isLost, isRefused }) {
        if (lie.isTold || isRefused) return undefined;
        if (written === undefined || written.revision !== server.revision) {
          if (request.kind !== "put" || request.lease !== undefined || !isLost) return undefined;
          const reply = server.run(request);
          written = { key: request.key, revision: server.revision };
          return reply;
        }
        if (request.kind !== "range" || isLost || request.key !== written.key) return undefined;
        if (request.serializable === true || (request.revision ?? 0) > 0) return undefined;
        const answer = server.readAt(request, server.revision);
        server.forgetRevision();
        lie.isTold = true;
        return answer;
      },
    };
    return lie;
  },

  "revisions of two writes exchanged": () => {
    let first = 0;
    const lie: Lie = {
      isTold: false,
      tell(server, request, { isLost, isRefused }) {
        const isPlain = request.kind === "put" && request.lease === undefined;
        if (lie.isTold || isLost || isRefused || !isPlain) return undefined;
        const answer = server.run(request) as Answer;
        lie.isTold = first !== 0;
        const revision = first === 0 ? server.revision + 1 : server.revision - 1;
        first = server.revision;
        return { ...answer, revision };
      },
    };
    return lie;
  },

  "revision that nobody made": read((server, request) => {
    const answer = server.readAt(request, server.revision);
    return { ...answer, revision: server.revision + 3 };
  }),

  "wrong branch taken": txn((server, request) => {
    const { success, failure, compare } = request;
    if (compare.length === 0 || (!hasPuts(success) && !hasPuts(failure))) return undefined;
    const { succeeded } = probe(server, request);
    const answer = server.run({ ...request, compare: [], success: succeeded ? failure : success });
    return answer.kind === "txn" ? { ...answer, succeeded: !succeeded } : answer;
  }),

  "compare and swap that ignores the compare": txn((server, request) => {
    if (request.compare.length === 0 || !hasPuts(request.success)) return undefined;
    if (probe(server, request).succeeded) return undefined;
    return server.run({ ...request, compare: [] });
  }),

  "failed transaction that writes": txn((server, request) => {
    if (request.compare.length === 0 || !hasPuts(request.success)) return undefined;
    const { succeeded, answer } = probe(server, request);
    if (succeeded || hasPuts(request.failure)) return undefined;
    server.run({ ...request, compare: [] });
    return answer;
  }),

  "half of a transaction": txn((server, request) => {
    const { succeeded, answer } = probe(server, request);
    const branch = succeeded ? request.success : request.failure;
    const puts = branch.filter(({ kind }) => kind === "put");
    const [first] = puts;
    if (puts.length < 2 || first === undefined || answer.kind !== "txn") return undefined;
    server.run(first);
    return answer;
  }),

  "wrong predecessor": put((server, request) => {
    const [before] = kvsOf(server.readAt({ kind: "range", key: request.key }, server.revision));
    if (request.prevKv !== true || before?.version === undefined) return undefined;
    const prevKv = { ...before, version: before.version + 1 };
    return { ...(server.run(request) as PutAnswer), prevKv };
  }),

  "deletion that says nothing was there": once((server, request, { isLost }) => {
    if (request.kind !== "delete" || isLost) return undefined;
    const answer = server.run(request);
    if (answer.kind !== "delete" || answer.deleted === 0) return undefined;
    return { kind: "delete", revision: server.revision, deleted: 0, prevKvs: [] };
  }),

  "deletion acknowledged and lost": once((server, request, { isLost }) => {
    if (request.kind !== "delete" || request.end !== undefined || isLost) return undefined;
    const before = kvsOf(server.readAt({ kind: "range", key: request.key }, server.revision));
    if (before.length === 0) return undefined;
    const prevKvs = request.prevKv === true ? before : [];
    return { kind: "delete", revision: server.revision + 1, deleted: 1, prevKvs };
  }),

  "revoked lease that leaves its keys": once((server, request, { isLost }) => {
    if (request.kind !== "revoke" || isLost || server.keysOf(request.id).length === 0)
      return undefined;
    server.forgetLease(request.id);
    return { kind: "revoke", revision: server.revision };
  }),

  "put with a lease that is gone": once((server, request, { isLost }) => {
    if (request.kind !== "put" || request.lease === undefined || isLost) return undefined;
    if (server.hasLease(request.lease)) return undefined;
    const { lease: _, ...plain } = request;
    return server.run(plain);
  }),

  "compacted read answered": once((server, request, { isLost }) => {
    if (request.kind !== "range" || request.serializable || isLost) return undefined;
    const { revision = 0 } = request;
    if (revision === 0 || revision >= server.compactRevision - 1) return undefined;
    return { ...server.readAt(request, revision), revision: server.revision };
  }),

  "refused as compacted though it is not": once((server, request, { isLost }) => {
    if (request.kind !== "range" || isLost || request.serializable) return undefined;
    const { revision = 0 } = request;
    const isReadable = revision > server.compactRevision + 8 && revision <= server.revision;
    return isReadable ? { kind: "refused", code: "compacted" } : undefined;
  }),
};

/** What a transaction would answer, without running it. */
function probe(
  server: NaiveServer,
  request: TxnRequest,
): { readonly succeeded: boolean; readonly answer: Reply } {
  const answer = server.run(request);
  server.forgetLast();
  return { succeeded: answer.kind === "txn" && answer.succeeded, answer };
}
