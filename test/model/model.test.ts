/**
 * The oracle against itself: two etcd must agree, and a server that lies must be found out. Then
 * our own executable against etcd, on a few fixed seeds; MODEL_SEEDS=1-100 MODEL_STEPS=1000 for
 * more.
 */
import { describe, expect, test } from "bun:test";
import { ETCD, isInstalled, startEtcd } from "../support/processes.ts";
import { comparable, differencesOf } from "./differences.ts";
import { type Answer, Endpoint, type WatchSession } from "./endpoint.ts";
import { RequestGenerator } from "./generator.ts";
import { OracleMismatch, runOracle } from "./oracle.ts";
import type { ModelRequest, UnaryRequest } from "./requests.ts";
import { runPair } from "./run.ts";

const hasEtcd = await isInstalled(ETCD);
const TEST_MS_MAX = 60_000;

describe("generator", () => {
  const sequence = (seed: number, count: number): ModelRequest[] => {
    const generator = new RequestGenerator(seed);
    const contextAt = (index: number) => ({ revision: 1 + index, compactRevision: index - 20 });
    return Array.from({ length: count }, (_, index) => generator.next(contextAt(index)));
  };

  test("one seed gives one sequence, another seed another", () => {
    expect(sequence(5, 300)).toEqual(sequence(5, 300));
    expect(sequence(6, 300)).not.toEqual(sequence(5, 300));
  });

  test("every RPC and every option comes up within some hundred requests", () => {
    const text = sequence(1, 1500)
      .map((request) => JSON.stringify(request))
      .join("\n");
    const kinds = ["Put", "Range", "DeleteRange", "Txn", "Compact", "Watch", "CancelWatch"];
    const leases = ["LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "LeaseLeases"];
    for (const rpc of [...kinds, ...leases]) expect(text).toContain(`"rpc":"${rpc}"`);
    const options = ["prevKv", "ignoreValue", "ignoreLease", "serializable", "keysOnly"];
    for (const option of [...options, "countOnly", "physical"])
      expect(text).toContain(`"${option}":true`);
    for (const target of [0, 1, 2, 3, 4]) {
      expect(text).toContain(`"sortTarget":${target}`);
      expect(text).toContain(`"target":${target}`);
    }
    expect(text).toMatch(/"requestTxn":.*"requestTxn"/);
    expect(text).toMatch(/\{\}/);
  });
});

describe("comparison", () => {
  const range = new RequestGenerator(1);
  const plainRange = (more: object): UnaryRequest => {
    for (;;) {
      const request = range.next({ revision: 5, compactRevision: -1 });
      if (request.rpc !== "Range") continue;
      return { rpc: "Range", body: { ...request.body, sortTarget: 0, ...more } };
    }
  };
  const answer = (kv: object, header: object): Answer => ({
    code: 0,
    message: "",
    body: { header: { revision: "5", ...header }, kvs: [{ key: "a", lease: "0", ...kv }] },
  });

  test("the server's identity may differ, the revision and every field of a kv may not", () => {
    const request = plainRange({ keysOnly: false });
    const base = comparable(request, answer({}, { memberId: "1", raftTerm: "2" }));
    const other = (kv: object, header: object) =>
      differencesOf(base, comparable(request, answer(kv, header)));
    expect(other({}, { memberId: "9", raftTerm: "7" })).toEqual([]);
    expect(other({}, { revision: "6" })).toEqual(['body.header.revision: "5" | "6"']);
    expect(other({ lease: "4" }, {})).toEqual(['body.kvs.0.lease: "0" | "4"']);
  });

  test("the lease of keys_only may differ", () => {
    const request = plainRange({ keysOnly: true });
    const [a, b] = [answer({ lease: "4" }, {}), answer({}, {})];
    expect(differencesOf(comparable(request, a), comparable(request, b))).toEqual([]);
  });

  test("refusals are compared by code and text", () => {
    const request = plainRange({});
    const refusal = (code: number, message: string) =>
      comparable(request, { code, message, body: {} });
    expect(differencesOf(refusal(3, "x"), refusal(3, "x"))).toEqual([]);
    expect(differencesOf(refusal(3, "x"), refusal(3, "y"))).toHaveLength(1);
    expect(differencesOf(refusal(3, "x"), refusal(5, "x"))).toHaveLength(1);
  });
});

/** Tells the truth but for what `bend` changes. */
class Liar extends Endpoint {
  bend: (request: UnaryRequest, answer: Answer) => Answer = (_request, answer) => answer;
  onWatch: (session: WatchSession) => void = () => undefined;

  override async call(request: UnaryRequest): Promise<Answer> {
    return this.bend(request, await super.call(request));
  }

  override openWatch(): WatchSession {
    const session = super.openWatch();
    this.onWatch(session);
    return session;
  }
}

async function runAgainst(lie: (liar: Liar) => void, steps: number): Promise<string> {
  await using a = await startEtcd();
  await using b = await startEtcd();
  const honest = new Endpoint("a", a.endpoint);
  const liar = new Liar("b", b.endpoint);
  lie(liar);
  try {
    const report = await runOracle({ seed: 3, steps, a: honest, b: liar });
    return `no mismatch at ${report.revision}, ${report.events} events`;
  } catch (error) {
    if (!(error instanceof OracleMismatch)) throw error;
    return error.message;
  } finally {
    honest.close();
    liar.close();
  }
}

describe.skipIf(!hasEtcd)("oracle", () => {
  test(
    "two etcd agree on a sequence of requests and on every watch",
    async () => {
      const result = await runAgainst(() => undefined, 150);
      expect(result).toMatch(/^no mismatch at \d\d+/);
    },
    TEST_MS_MAX,
  );

  test(
    "a wrong field of an answer is found",
    async () => {
      const result = await runAgainst((liar) => {
        liar.bend = (request, answer) =>
          request.rpc === "Range" && answer.body.count !== "0"
            ? { ...answer, body: { ...answer.body, count: "77" } }
            : answer;
      }, 100);
      expect(result).toContain("body.count:");
      expect(result).toContain("replay: bun test/model/run.ts --seeds 3");
    },
    TEST_MS_MAX,
  );

  test(
    "an event that is sent twice is found",
    async () => {
      const result = await runAgainst((liar) => {
        liar.onWatch = ({ responses }) => {
          const push = responses.push.bind(responses);
          let told = 0;
          responses.push = (response) => {
            const hasEvents = (response.events as unknown[]).length > 0;
            if (hasEvents) told += 1;
            return hasEvents && told === 5 ? push(response, response) : push(response);
          };
        };
      }, 100);
      expect(result).toContain("was split");
    },
    TEST_MS_MAX,
  );
});

/** Seeds "first-last", and steps a seed. */
const { MODEL_SEEDS = "1-3", MODEL_STEPS = "150" } = process.env;
const [FIRST_SEED = 1, LAST_SEED = FIRST_SEED] = MODEL_SEEDS.split("-").map(Number);

describe.skipIf(!hasEtcd)("aether", () => {
  for (let seed = FIRST_SEED; seed <= LAST_SEED; seed++) {
    test(
      `agrees with etcd on sequence ${seed}`,
      async () => {
        const report = await runPair(["etcd", "aether"], seed, Number(MODEL_STEPS));
        expect(report.revision).toBeGreaterThan(20);
      },
      TEST_MS_MAX,
    );
  }
});
