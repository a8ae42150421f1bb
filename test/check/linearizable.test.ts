/** The checker on small histories that can be judged by looking at them, and on large ones. */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import type { Call, History, Outcome } from "./history.ts";
import { checkLinearizable, type Verdict } from "./linearizable.ts";
import { isLinearizable } from "./reference-search.ts";
import type {
  Answer,
  Operation,
  OperationAnswer,
  RangeAnswer,
  Request,
  SeenKeyValue,
} from "./requests.ts";
import { simulate } from "./simulation.ts";

/** A call by a client, from a time to a time; without an answer if that is undefined. */
function call(
  client: string,
  [from, to]: readonly [number, number],
  request: Request,
  answer?: Answer,
): Call {
  const outcome: Outcome =
    answer === undefined ? { kind: "unknown" } : { kind: "answered", at: to, answer };
  return { id: `${client}@${from}`, client, request, call: from, outcome };
}

const put = (key: string, value: string): Request => ({ kind: "put", key, value });
const get = (key: string): Request => ({ kind: "range", key });
const wrote = (revision: number): Answer => ({ kind: "put", revision });
const none = (revision?: number): Answer => ({ ...at(revision), kind: "range", kvs: [] });
const got = (kv: SeenKeyValue, revision?: number): Answer => {
  return { ...at(revision), kind: "range", kvs: [kv] };
};
const at = (revision: number | undefined) => (revision === undefined ? {} : { revision });

function check(calls: readonly Call[]): Verdict {
  const history = { calls, watches: [] };
  const verdict = checkLinearizable(history);
  expect(verdict.kind === "linearizable").toBe(isLinearizable(history));
  return verdict;
}

const accepts = (...calls: Call[]): void => expect(check(calls).kind).toBe("linearizable");

function refuses(text: string, ...calls: Call[]): void {
  const verdict = check(calls);
  expect(verdict.kind).toBe("not-linearizable");
  expect("report" in verdict ? verdict.report : "").toContain(text);
}

describe("with revisions", () => {
  test("overlapping writes come in the order of their revisions", () => {
    const first = call("a", [0, 10], put("k", "1"), wrote(3));
    const second = call("b", [1, 9], put("k", "2"), wrote(2));
    accepts(first, second, call("c", [11, 12], get("k"), got({ key: "k", value: "1" }, 3)));
    const stale = call("c", [11, 12], get("k"), got({ key: "k", value: "2" }, 3));
    refuses('answer.kvs[0].value is "2", should be "1"', first, second, stale);
  });

  test("a write is not before one that was over when it was sent", () => {
    refuses(
      "revision 2 was seen before the request that made it was sent",
      call("a", [0, 1], put("k", "1"), wrote(3)),
      call("b", [2, 3], put("k", "2"), wrote(2)),
    );
  });

  test("a read is not before a write that was over when it was sent", () => {
    refuses(
      "a revision after 1 was seen before",
      call("a", [0, 1], put("k", "1"), wrote(2)),
      call("b", [2, 3], get("k"), none(1)),
    );
  });

  test("a revision belongs to one request", () => {
    refuses(
      "two requests are said to have made revision 2",
      call("a", [0, 5], put("k", "1"), wrote(2)),
      call("b", [0, 5], put("l", "2"), wrote(2)),
    );
  });

  test("a write without an answer may have happened, at any time after it was sent, once", () => {
    const lost = call("a", [0, 0], put("k", "1"));
    const seen = got({ key: "k", value: "1", modRevision: 2 }, 2);
    accepts(lost, call("b", [1, 2], get("k"), none(1)));
    accepts(lost, call("b", [1, 2], get("k"), none(1)), call("b", [3, 4], get("k"), seen));
    refuses(
      "b@3 get k -> @2 []",
      lost,
      call("b", [1, 2], get("k"), seen),
      call("b", [3, 4], get("k"), none(2)),
    );
    const twice = got({ key: "k", value: "1", modRevision: 3, version: 2 }, 3);
    refuses("no request can have made revision", lost, call("b", [1, 2], get("k"), twice));
    refuses("no request can have made revision 2", call("b", [1, 2], get("k"), seen), {
      ...lost,
      call: 3,
    });
  });

  test("a stale read is a state of the past, but not of the future", () => {
    const write = call("a", [5, 6], put("k", "1"), wrote(2));
    const stale = { kind: "range", key: "k", serializable: true } as const;
    const kv = { key: "k", value: "1" };
    accepts(write, call("b", [7, 8], stale, none(1)), call("b", [9, 10], stale, got(kv, 2)));
    refuses("should be", write, call("b", [7, 8], stale, none(2)));
    refuses("was seen before the request", write, call("b", [1, 2], stale, got(kv, 2)));
  });

  test("what was seen, even by a stale read, was not written by a request sent later", () => {
    const stale = { kind: "range", key: "k", serializable: true } as const;
    const seen = call("b", [1, 2], stale, got({ key: "k", value: "1", modRevision: 2 }, 2));
    accepts(seen, call("a", [1, 0], put("k", "1")));
    refuses("no request can have made revision 2", seen, call("a", [3, 0], put("k", "1")));
  });

  test("a request that is sent when another ends is beside it, not after it", () => {
    const write = call("a", [0, 5], put("k", "1"), wrote(2));
    accepts(write, call("b", [5, 6], get("k"), none(1)));
    refuses("a revision after 1", write, call("b", [5.1, 6], get("k"), none(1)));
  });

  test("a transaction takes the branch that its compares say, whole", () => {
    const first = call("a", [0, 1], put("k", "1"), wrote(2));
    const swap: Request = {
      kind: "txn",
      compare: [{ target: "mod", result: "=", key: "k", number: 2 }],
      success: [put("k", "2"), put("l", "2")] as never,
      failure: [],
    };
    const done: Answer = {
      kind: "txn",
      revision: 3,
      succeeded: true,
      responses: [{ kind: "put" }, { kind: "put" }],
    };
    const failed: Answer = { kind: "txn", revision: 2, succeeded: false, responses: [] };
    accepts(first, call("b", [2, 3], swap, done));
    refuses("answer.revision is 2, should be 3", first, call("b", [2, 3], swap, failed));
    refuses(
      "should be",
      first,
      call("b", [2, 3], swap, done),
      call("b", [4, 5], get("l"), none(3)),
    );
  });

  test("the end of a lease deletes its keys in one revision, asked for or not", () => {
    const grant = call(
      "a",
      [0, 1],
      { kind: "grant", id: "7", ttlSeconds: 1 },
      { kind: "grant", revision: 1, id: "7", ttlSeconds: 1 },
    );
    const leased = call("a", [2, 3], { kind: "put", key: "k", value: "1", lease: "7" }, wrote(2));
    const revoke: Request = { kind: "revoke", id: "7" };
    const gone = call("b", [6, 7], get("k"), none(3));
    accepts(grant, leased, gone);
    accepts(grant, leased, call("a", [4, 5], revoke, { kind: "revoke", revision: 3 }), gone);
    refuses("should be", grant, leased, call("b", [6, 7], get("k"), none(2)));
    const late = { kind: "refused", at: 9, code: "lease_not_found" } as const;
    const again = { ...call("a", [8, 9], { ...leased.request }), outcome: late };
    accepts(grant, leased, gone, again);
  });

  const grant = call(
    "a",
    [2, 3],
    { kind: "grant", id: "7", ttlSeconds: 1 },
    { kind: "grant", revision: 1, id: "7", ttlSeconds: 1 },
  );
  const leased: Request = { kind: "put", key: "k", value: "1", lease: "7" };
  const refused = (one: Call, code: string): Call => {
    return { ...one, outcome: { kind: "refused", at: one.call + 1, code } };
  };

  test("a revocation at the revision of a deletion comes after it", () => {
    accepts(
      grant,
      call("a", [4, 5], leased, wrote(2)),
      call("b", [6, 20], { kind: "revoke", id: "7" }, { kind: "revoke", revision: 3 }),
      call("c", [6, 20], { kind: "delete", key: "k" }, { kind: "delete", revision: 3, deleted: 1 }),
    );
  });

  test("a lease that was not there yet may be used without an answer when it is", () => {
    const early = refused(call("b", [0, 1], leased), "lease_not_found");
    const seen = got({ key: "k", value: "1", modRevision: 2, lease: "7" }, 2);
    accepts(early, grant, call("b", [4, 0], leased), call("c", [5, 6], get("k"), seen));
  });

  test("a refusal is not before what was seen when it was asked for", () => {
    const write = call("a", [4, 20], leased, wrote(2));
    const stale = { kind: "range", key: "k", serializable: true } as const;
    const gone = call("c", [5, 6], stale, none(3));
    const again: Request = { kind: "grant", id: "7", ttlSeconds: 1 };
    const exists = (from: number): Call => refused(call("d", [from, 0], again), "lease_exists");
    accepts(grant, write, gone, exists(5.5));
    refuses("none of these can come next", grant, write, gone, exists(7));
  });

  test("a revision that no request can account for is found, however large", () => {
    refuses("no request can have made", call("a", [0, 1], get("k"), none(1_000_000_000)));
  });

  test("the committed revisions are told with their causes", () => {
    const lost = call("a", [0, 0], put("k", "1"));
    const verdict = check([lost, call("b", [1, 2], put("l", "2"), wrote(3))]);
    expect(verdict.kind === "linearizable" && verdict.committed).toMatchObject([
      { revision: 2, cause: "a@0", isCertain: true, seenAt: 2, changes: [{ kv: { key: "k" } }] },
      { revision: 3, cause: "b@1", isCertain: true },
    ]);
  });
});

describe("without revisions", () => {
  const ok: Answer = { kind: "put" };

  test("values alone are judged", () => {
    const writes = [call("a", [0, 10], put("k", "1"), ok), call("b", [0, 10], put("k", "2"), ok)];
    const one = call("c", [11, 12], get("k"), got({ key: "k", value: "1" }));
    const two = call("c", [13, 14], get("k"), got({ key: "k", value: "2" }));
    accepts(...writes, one);
    refuses('"2", should be "1"', ...writes, one, two);
  });

  test("a write without an answer may come late", () => {
    const lost = call("a", [0, 0], put("k", "1"));
    const seen = call("b", [5, 6], get("k"), got({ key: "k", value: "1" }));
    accepts(lost, call("b", [1, 2], get("k"), none()), seen);
    refuses("answer.kvs[0] is missing", lost, seen, call("b", [7, 8], get("k"), none()));
  });

  test("lists are judged over all their keys", () => {
    const list: Request = { kind: "range", key: "a", end: "z" };
    const saw = (client: string, key: string): Call => {
      return call(client, [0, 9], list, got({ key, value: "1" }));
    };
    const writes = ["k", "l"].map((key) => call(key, [0, 9], put(key, "1"), ok));
    accepts(...writes, saw("c", "k"));
    refuses("none of these can come next", ...writes, saw("c", "k"), saw("d", "l"));
  });

  test("transactions are judged over all their keys", () => {
    const txn = (...success: Operation[]): Request => ({
      kind: "txn",
      compare: [],
      success,
      failure: [],
    });
    const both = txn({ kind: "put", key: "k", value: "1" }, { kind: "put", key: "l", value: "1" });
    const look = txn({ kind: "range", key: "k" }, { kind: "range", key: "l" });
    const write = call("a", [0, 9], both, { kind: "txn", succeeded: true, responses: [] });
    const saw = (k: Answer, l: Answer): Call => {
      const responses = [k, l] as OperationAnswer[];
      return call("b", [0, 9], look, { kind: "txn", succeeded: true, responses });
    };
    const one = (key: string): Answer => got({ key, value: "1" });
    const done = { ...write, outcome: { kind: "unknown" } } as const;
    accepts(done, saw(one("k"), one("l")));
    accepts(done, saw(none(), none()));
    refuses("none of these can come next", done, saw(one("k"), none()));
  });

  test("places are not visited twice", () => {
    const writes = Array.from({ length: 10 }, (_, i) =>
      call(`c${i}`, [0, 9], put("k", `${i}`), ok),
    );
    const read = call("r", [10, 11], get("k"), got({ key: "k", value: "none of them" }));
    const calls = [...writes, read];
    const verdict = checkLinearizable({ calls, watches: [] }, { attemptsMax: 200_000 });
    expect(verdict.kind).toBe("not-linearizable");
  });

  test("keys are judged one by one", () => {
    const calls = Array.from({ length: 60 }, (_, i) => {
      return call(`c${i}`, [0, 100], put(`k${i}`, "1"), ok);
    });
    const verdict = checkLinearizable({ calls, watches: [] });
    expect(verdict).toMatchObject({ kind: "linearizable", attempts: 60, committed: undefined });
  });
});

test("it gives up when it was told to, and says so", () => {
  const calls = Array.from({ length: 12 }, (_, i) =>
    call(`c${i}`, [0, 9], put("k", `${i}`), { kind: "put" }),
  );
  calls.push(call("r", [10, 11], get("k"), got({ key: "k", value: "none of them" })));
  const verdict = checkLinearizable({ calls, watches: [] }, { attemptsMax: 1000 });
  expect(verdict.kind).toBe("gave-up");
});

/** The answers without what shows revisions. */
function stripped({ calls }: History): Pick<History, "calls" | "watches"> {
  const kvOf = ({ key, value }: SeenKeyValue): SeenKeyValue => ({
    key,
    ...(value !== undefined && { value }),
  });
  const strip = (answer: Answer): Answer => {
    const { revision: _, ...rest } = answer as RangeAnswer;
    if (answer.kind === "range") return { ...rest, kvs: (answer.kvs ?? []).map(kvOf) };
    if (answer.kind === "put")
      return { kind: "put", prevKv: answer.prevKv ? kvOf(answer.prevKv) : null };
    if (answer.kind === "delete") return { kind: "delete", deleted: answer.deleted ?? 0 };
    if (answer.kind !== "txn") return answer;
    const { succeeded } = answer;
    return {
      kind: "txn",
      succeeded,
      responses: answer.responses.map((one) => strip(one) as RangeAnswer),
    };
  };
  return {
    watches: [],
    calls: calls.map((one) => {
      if (one.outcome.kind !== "answered") return one;
      return { ...one, outcome: { ...one.outcome, answer: strip(one.outcome.answer) } };
    }),
  };
}

/** Changes one answer: its revision, or a value that was read. */
function corrupted(history: History, prng: Prng): History {
  const calls = [...history.calls];
  const index = prng.below(calls.length);
  const victim = calls[index] as Call;
  if (victim.outcome.kind !== "answered") return history;
  const { answer } = victim.outcome;
  const revision = ("revision" in answer ? (answer.revision ?? 1) : 1) + prng.below(3) - 1;
  const value = `v${prng.below(6)}`;
  const kvs = answer.kind === "range" ? (answer.kvs ?? []).map((kv) => ({ ...kv, value })) : [];
  const bent = prng.chance(50) && kvs.length > 0 ? { ...answer, kvs } : { ...answer, revision };
  calls[index] = { ...victim, outcome: { ...victim.outcome, answer: bent as Answer } };
  return { ...history, calls };
}

describe("the search and the definition agree", () => {
  for (const mix of ["whole", "single"] as const) {
    test(`on small histories, right and wrong, ${mix}`, () => {
      const verdicts = { true: 0, false: 0 };
      for (let seed = 1; seed <= 400; seed++) {
        const prng = new Prng(seed);
        const options = { seed, clients: 3, calls: 6, keys: 2, unknownPercent: 25, mix };
        const right = simulate(options).history;
        const history = prng.chance(70) ? corrupted(right, prng) : right;
        for (const given of mix === "single" ? [history, stripped(history)] : [history]) {
          const due = isLinearizable(given);
          const { kind } = checkLinearizable({ calls: given.calls, watches: [] });
          expect(`seed ${seed}: ${kind}`).toBe(
            `seed ${seed}: ${due ? "linearizable" : "not-linearizable"}`,
          );
          verdicts[`${due}`]++;
        }
      }
      expect(verdicts.true).toBeGreaterThan(100);
      expect(verdicts.false).toBeGreaterThan(100);
    });
  }
});

describe("the effort grows with the length of the history", () => {
  for (const watches of [0, 6]) {
    test(`10,000 calls of 8 clients on 10 keys, ${watches} watchers`, () => {
      const options = { seed: 11, clients: 8, calls: 10_000, keys: 10, unknownPercent: 5 } as const;
      const { history } = simulate({ ...options, mix: "whole", watches });
      const verdict = checkLinearizable(history);
      expect(verdict.kind).toBe("linearizable");
      expect(verdict.attempts).toBeLessThan(3 * history.calls.length);
    });
  }

  test("10,000 calls on 10 keys without revisions", () => {
    const options = { seed: 3, clients: 8, calls: 10_000, keys: 10, unknownPercent: 1 } as const;
    const { history } = simulate({ ...options, mix: "single" });
    const verdict = checkLinearizable(stripped(history));
    expect(verdict.kind).toBe("linearizable");
    expect(verdict.attempts).toBeLessThan(5 * history.calls.length);
  });
});
