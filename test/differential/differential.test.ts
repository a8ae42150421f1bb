/**
 * The comparison against itself: a sequence is the same again, lies are found and cut down. Then
 * our own executable against both etcd, on a few fixed seeds; for more:
 *
 *   bun test/differential/run.ts --operations 100000
 */
import { describe, expect, test } from "bun:test";
import { absence, witness } from "../support/etcd-witness.ts";
import { AETHER, ETCD, isInstalled, requireExecutable } from "../support/processes.ts";
import { comparable, differencesOf } from "./differences.ts";
import { ALL_ROOMS, type Room, sequenceOf } from "./generate/sequence.ts";
import { Identities } from "./identities.ts";
import { minimise } from "./minimise.ts";
import { Mismatch, playPair } from "./pair.ts";
import type { Answer } from "./raw-client.ts";
import { play } from "./run.ts";
import { decode, encode, RPCS, rpcOf, type TreeMessage } from "./schema.ts";
import { openSide } from "./servers.ts";
import { type Call, call, type Step } from "./steps.ts";

const hasOld = await isInstalled(ETCD);
const TEST_MS_MAX = 60_000;
const point = { revision: 9, compactRevision: 3 };

/** What 3.4 does as we do; elsewhere much has changed since. */
const OLD_ROOMS: readonly Room[] = ["keys", "watch", "leases", "together", "race"];

describe("a sequence", () => {
  const options = { steps: 300, rooms: ALL_ROOMS, isOld: false };

  test("is the same again for a seed, another for another", () => {
    expect(sequenceOf({ ...options, seed: 5 })).toEqual(sequenceOf({ ...options, seed: 5 }));
    expect(sequenceOf({ ...options, seed: 6 })).not.toEqual(sequenceOf({ ...options, seed: 5 }));
  });

  test("comes to every RPC, valid and not, and to every option", () => {
    const steps = sequenceOf({ ...options, seed: 1, steps: 8000 });
    // With auth on there are no locks: those come before.
    const text = steps.map((step) => JSON.stringify(step)).join("\n");
    const isLeftOut = (name: string): boolean => name === "Watch/Watch";
    for (const name of [...RPCS.keys()].filter((each) => !isLeftOut(each))) {
      if (name !== "Maintenance/HashKV") expect(text).toContain(`"rpc":"${name}"`);
    }
    const flags = ["prevKv", "ignoreValue", "ignoreLease", "serializable", "keysOnly"];
    const more = ["countOnly", "physical", "fragment", "progressNotify", "isLearner"];
    for (const flag of [...flags, ...more]) expect(text).toContain(`"${flag}":true`);
    for (const target of [1, 2, 3, 4]) {
      expect(text).toContain(`"sortTarget":${target}`);
      expect(text).toContain(`"target":${target}`);
    }
    expect(text).toMatch(/"requestTxn":.*"requestTxn"/);
    for (const kind of ["watch", "cancelWatch", "together", "race", "begin", "finish"]) {
      expect(text).toContain(`"do":"${kind}"`);
    }
  });
});

describe("a tree", () => {
  const { response } = rpcOf("KV/Range");

  test("is what was on the wire: defaults left out, written out, and fields unknown", () => {
    const bytes = encode(response, { count: 3, kvs: [{ key: "\xff", lease: "-1" }] });
    expect(decode(response, bytes)).toEqual({ count: "3", kvs: [{ key: "\xff", lease: "-1" }] });
    expect(decode(response, Uint8Array.of(0x18, 0, 0xf8, 0x01, 7))).toEqual({
      more: false,
      "?31": "07",
    });
    expect(decode(response, Uint8Array.of(0x20, 1, 0x20, 2))).toEqual({ count: ["1", "2"] });
  });

  test("takes packed numbers for what they are", () => {
    const { request } = rpcOf("Watch/Watch");
    const body = { createRequest: { key: "a", filters: [1, 0] } };
    expect(decode(request, encode(request, body))).toEqual(body);
  });
});

describe("names for ids", () => {
  test("are given in order, kept, and mixed-up ids show", () => {
    const [a, b] = [new Identities({ "<peer>": "http://x:1" }), new Identities()];
    const [first, second] = ["8630161756594109333", "1234567890123456789"];
    expect(a.named({ ID: first, peer: "http://x:1" })).toEqual({ ID: "#1", peer: "<peer>" });
    expect(a.named({ ID: second, again: first, small: "77" })).toEqual({
      ID: "#2",
      again: "#1",
      small: "77",
    });
    const hex = BigInt(second).toString(16);
    expect(a.named({ key: `lock/${hex}` })).toEqual({ key: "lock/#2" });
    expect(b.named([second, first, first])).toEqual(["#1", "#2", "#2"]);
  });
});

describe("comparison", () => {
  const answer = (messages: TreeMessage[], more: Partial<Answer> = {}): Answer => ({
    code: 0,
    text: "",
    messages,
    headers: {},
    trailers: {},
    ...more,
  });
  const compare = (rpc: string, body: TreeMessage, a: Answer, b: Answer, isOld = false) => {
    const sent = { do: "call", rpc, bodies: [body] } as const;
    const how = { isOld, point };
    return differencesOf(comparable(sent, a, how), comparable(sent, b, how));
  };
  const kv = (more: TreeMessage): Answer => answer([{ kvs: [{ key: "a", ...more }] }]);

  test("shows a field, its absence, a default that was written out, a header, a status", () => {
    const differ = (a: Answer, b: Answer) => compare("KV/Range", { key: "a" }, a, b);
    expect(differ(kv({}), kv({}))).toEqual([]);
    expect(differ(kv({ lease: "4" }), kv({}))).toEqual(['messages.0.kvs.0.lease: "4" | absent']);
    expect(differ(kv({ version: "0" }), kv({}))).toHaveLength(1);
    expect(differ(kv({}), answer([]))).toHaveLength(1);
    expect(differ(answer([]), answer([], { text: "x" }))).toHaveLength(1);
    expect(differ(answer([]), answer([], { code: 3 }))).toHaveLength(1);
    expect(differ(answer([]), answer([], { trailers: { a: "b" } }))).toHaveLength(1);
  });

  test("hides what a row says, for the etcd and the RPC that it says", () => {
    const keysOnly = { key: "a", keysOnly: true };
    const [a, b] = [kv({ lease: "4" }), kv({})];
    expect(compare("KV/Range", keysOnly, a, b, true)).toEqual([]);
    expect(compare("KV/Range", keysOnly, a, b, false)).toHaveLength(1);
    const term = (raftTerm: string) => answer([{ header: { raftTerm } }]);
    expect(compare("KV/Put", {}, term("2"), term("7"))).toEqual([]);
    expect(compare("KV/Put", {}, term("2"), answer([{ header: {} }]))).toHaveLength(1);
  });

  test("of members sees an order that is not by id", () => {
    const members = (...ids: string[]) => answer([{ members: ids.map((ID) => ({ ID })) }]);
    const differ = (a: Answer, b: Answer) => compare("Cluster/MemberList", {}, a, b);
    expect(differ(members("1", "2"), members("1", "2"))).toEqual([]);
    expect(differ(members("1", "2"), members("2", "1"))).toEqual([
      "messages.0.rising: true | false",
    ]);
  });
});

test("a failing sequence is cut down to what it takes", async () => {
  const steps = Array.from({ length: 40 }, (_, index) => call("KV/Put", { key: `${index}` }));
  const keyOf = (step: Step): unknown => (step as Call).bodies[0]?.key;
  const needed = ["3", "17", "39"];
  const least = await minimise(steps, async (some) => {
    const keys = some.map(keyOf);
    return needed.every((key) => keys.includes(key));
  });
  expect(least.map(keyOf)).toEqual(needed);
});

describe.skipIf(!hasOld)("two etcd", () => {
  const steps = sequenceOf({ seed: 3, steps: 120, rooms: OLD_ROOMS, isOld: true });

  test(
    "agree, but not when one of them lies",
    async () => {
      const report = await play({ a: "etcd-3.4", b: "etcd-3.4" }, steps);
      expect(report.calls).toBeGreaterThanOrEqual(100);
      await using a = await openSide("etcd-3.4");
      await using b = await openSide("etcd-3.4");
      const honest = b.side.client.call.bind(b.side.client);
      b.side.client.call = async (request) => {
        const answer = await honest(request);
        if (request.rpc !== "KV/Range" || answer.code !== 0) return answer;
        return { ...answer, messages: answer.messages.map((each) => ({ ...each, count: "77" })) };
      };
      const lie = playPair({ a: a.side, b: b.side, isOld: true }, steps);
      await expect(lie).rejects.toThrow(/messages\.0\.count: /);
      await expect(lie).rejects.toBeInstanceOf(Mismatch);
    },
    TEST_MS_MAX,
  );

  test(
    "do not agree when an event is told twice",
    async () => {
      await using a = await openSide("etcd-3.4");
      await using b = await openSide("etcd-3.4");
      const honest = b.side.client.openWatch.bind(b.side.client);
      b.side.client.openWatch = (...args) => {
        const session = honest(...args);
        const push = session.responses.push.bind(session.responses);
        session.responses.push = (response) =>
          push(...(response.events === undefined ? [response] : [response, response]));
        return session;
      };
      const lie = playPair({ a: a.side, b: b.side, isOld: true }, steps);
      await expect(lie).rejects.toThrow(/etcd-3.4/);
    },
    TEST_MS_MAX,
  );
});

describe.skipIf(!hasOld)("aether and etcd 3.4", () => {
  test.each([1, 2])(
    "agree on sequence %d",
    async (seed) => {
      await requireExecutable(AETHER);
      const steps = sequenceOf({ seed, steps: 150, rooms: OLD_ROOMS, isOld: true });
      const report = await play({ a: "etcd-3.4", b: "aether" }, steps);
      expect(report.calls).toBeGreaterThanOrEqual(130);
    },
    TEST_MS_MAX,
  );
});

if (witness === undefined) console.warn(`SKIPPED, aether and etcd 3.7: ${absence()}`);

describe.skipIf(witness === undefined)("aether and etcd 3.7", () => {
  const hashed = ALL_ROOMS.filter((room) => room !== "owners");
  test.each([
    [1, hashed],
    [2, ALL_ROOMS],
  ])(
    "agree on sequence %d",
    async (seed, rooms) => {
      await requireExecutable(AETHER);
      const steps = sequenceOf({ seed, steps: 200, rooms, isOld: false });
      const report = await play({ a: "etcd-3.7", b: "aether" }, steps);
      expect(report.calls).toBeGreaterThanOrEqual(180);
    },
    TEST_MS_MAX,
  );
});
