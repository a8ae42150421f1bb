/** How a member without data begins, one test a rule. */
import { describe, expect, test } from "bun:test";
import {
  type BootstrapConfig,
  type BootstrapStep,
  bootstrap,
} from "../../src/cluster/bootstrap.ts";
import { foundCluster, memberIdOf } from "../../src/cluster/founding.ts";
import { MembersPeerResponse } from "../../src/proto/gen/aether.v1.ts";
import { Member } from "../../src/proto/gen/etcdserverpb.ts";

const TOKEN = "t";
const urlOf = (name: string): string => `http://${name}:2380`;
const founderOf = (name: string): { name: string; peerUrls: string[] } => ({
  name,
  peerUrls: [urlOf(name)],
});
const FOUNDERS = ["a", "b", "c"].map(founderOf);
const FOUNDING = foundCluster(FOUNDERS, TOKEN);
const idOf = (name: string): bigint => memberIdOf([urlOf(name)], TOKEN);

function config(more: Partial<BootstrapConfig> = {}): BootstrapConfig {
  const { name = "a", members = FOUNDERS } = more;
  return { name, peerUrls: [urlOf(name)], members, token: TOKEN, state: "new", ...more };
}

/** A running cluster's member; started unless its name has a question mark. */
function member(name: string, ID = idOf(name.replace("?", ""))): Member {
  const plain = name.replace("?", "");
  const clientURLs = name.endsWith("?") ? [] : [`http://${plain}:2379`];
  return Member.create({ ID, name: plain, peerURLs: [urlOf(plain)], clientURLs });
}

function answer(
  names: readonly (string | Member)[],
  more: Partial<MembersPeerResponse> = {},
): MembersPeerResponse {
  const members = names.map((each) => (typeof each === "string" ? member(each) : each));
  return MembersPeerResponse.create({ clusterId: FOUNDING.clusterId, members, ...more });
}

/** What somebody answers who is about to found as well. */
const founding = (name: string, memberId = idOf(name)): MembersPeerResponse =>
  MembersPeerResponse.create({ memberId });

function step(
  of: BootstrapConfig,
  answers: Readonly<Record<string, MembersPeerResponse>> = {},
): BootstrapStep {
  return bootstrap(of, new Map(Object.entries(answers)));
}

/** Why it refuses; fails if it does not. */
function why(of: BootstrapConfig, answers: Readonly<Record<string, MembersPeerResponse>>): string {
  const decided = step(of, answers);
  if (decided.kind !== "refuse") throw new Error(`not refused, but ${decided.kind}`);
  expect(decided.why.length).toBeLessThan(300);
  return decided.why;
}

describe("the configuration", () => {
  const existing = { state: "existing" } as const;

  test("must name this member", () => {
    const of = config({ name: "x" });
    expect(why(of, {})).toContain("does not name this member, x: add x=http://x:2380");
    expect(why(config({ name: "x", ...existing }), {})).toContain("does not name this member");
  });

  test("must list it where it advertises itself", () => {
    const of = config({ peerUrls: ["http://elsewhere:2380"] });
    expect(why(of, {})).toContain("http://elsewhere:2380");
    const both = ["http://a:2", "http://a:1"];
    const members = [{ name: "a", peerUrls: [...both].sort() }];
    expect(step(config({ members, peerUrls: both })).kind).toBe("found");
  });

  test("must not give two members one URL", () => {
    const members = [founderOf("a"), { name: "b", peerUrls: [urlOf("b"), urlOf("a")] }];
    expect(why(config({ members }), {})).toContain("http://a:2380 twice");
  });

  test("must name somebody to join", () => {
    const members = [founderOf("a")];
    expect(why(config({ members, ...existing }), {})).toContain("nobody whom");
  });
});

describe("founding", () => {
  test("one alone founds at once", () => {
    const members = [founderOf("a")];
    const { clusterId } = foundCluster(members, TOKEN);
    expect(step(config({ members }))).toEqual({
      kind: "found",
      clusterId,
      memberId: idOf("a") as never,
      members: [Member.create({ ID: idOf("a"), name: "a", peerURLs: [urlOf("a")] })],
    });
  });

  test("waits for answers that make a quorum with itself, and says whose are missing", () => {
    expect(step(config())).toEqual({ kind: "wait", names: ["b", "c"], needed: 1 });
    expect(step(config(), { c: founding("c") }).kind).toBe("found");
    const five = config({ members: ["a", "b", "c", "d", "e"].map(founderOf) });
    const one = step(five, { d: founding("d") });
    expect(one).toEqual({ kind: "wait", names: ["b", "c", "e"], needed: 1 });
    expect(step(five, { d: founding("d"), b: founding("b") }).kind).toBe("found");
  });

  test("all founders begin with the same records, in whatever order they are listed", () => {
    const urls = ["http://a:9", "http://a:1"];
    const members = [{ name: "a", peerUrls: urls }, ...FOUNDERS.slice(1)];
    const swapped = [...FOUNDERS.slice(1), { name: "a", peerUrls: [...urls].reverse() }];
    const first = step(config({ members, peerUrls: urls }), { b: founding("b") });
    const second = step(config({ name: "b", members: swapped }), { c: founding("c") });
    expect({ ...first, memberId: 0n }).toEqual({ ...second, memberId: 0n } as never);
    const records = first.kind === "found" ? first.members : [];
    expect(records.map(({ peerURLs }) => peerURLs).sort()).toEqual([
      ["http://a:1", "http://a:9"],
      ["http://b:2380"],
      ["http://c:2380"],
    ]);
  });

  test("a late founder founds as well: those who run the cluster have not seen it start", () => {
    expect(step(config(), { b: answer(["a?", "b", "c"]) }).kind).toBe("found");
    expect(step(config(), { b: answer(["a?", "b?", "c?"]) }).kind).toBe("found");
  });

  test("is refused to whoever was seen to start: its data is gone", () => {
    const text = why(config(), { b: founding("b"), c: answer(["a", "b", "c"]) });
    expect(text).toContain(`c knows member ${idOf("a").toString(16)}`);
    expect(text).toContain("as already started");
    expect(text).toContain("add it anew");
  });

  test("is refused to whoever was removed", () => {
    const removed = answer(["b", "c"], { removedMemberIds: [idOf("a")] });
    expect(why(config(), { b: removed })).toContain("removed from the cluster, for good");
  });

  test("is refused where the cluster runs without this member", () => {
    const text = why(config(), { b: answer(["b", "c"]) });
    expect(text).toContain("run member add a --peer-urls=http://a:2380 first");
  });

  test("is refused beside members of another cluster", () => {
    const other = answer(["a?", "b", "c"], { clusterId: 77n });
    expect(why(config(), { b: other })).toContain("b belongs to cluster 4d");
  });

  test("is refused beside a founder that computes other ids: another token", () => {
    const other = founding("b", memberIdOf([urlOf("b")], "another"));
    expect(why(config(), { b: other })).toContain("b founds as another member");
    expect(step(config(), { b: founding("b", 0n) }).kind).toBe("found");
  });
});

describe("joining", () => {
  const ID = 0xfeed_0000_0000_0001n;
  const join = (more: Partial<BootstrapConfig> = {}): BootstrapConfig =>
    config({ name: "d", members: [...FOUNDERS, founderOf("d")], state: "existing", ...more });
  const listed = answer(["a", "b", "c", member("d?", ID)]);

  test("takes the id of the member with our peer URLs, from the first who knows it", () => {
    const joined = { kind: "join", clusterId: FOUNDING.clusterId, memberId: ID as never };
    expect(step(join(), { a: listed })).toEqual({ ...joined, members: listed.members } as never);
    expect(step(join(), { a: answer(["a", "b", "c"]), b: listed })).toMatchObject(joined as never);
  });

  test("waits while nobody answers, or only such as found the cluster", () => {
    const wait = { kind: "wait", names: ["a", "b", "c"], needed: 1 } as const;
    expect(step(join())).toEqual(wait);
    expect(step(join(), { a: founding("a") })).toEqual(wait);
  });

  test("waits while those who do not know us are no majority: they may be behind", () => {
    const unaware = answer(["a", "b", "c"]);
    const wait = { kind: "wait", names: ["b", "c"], needed: 1 } as const;
    expect(step(join(), { a: unaware })).toEqual(wait);
    expect(why(join(), { a: unaware, b: unaware })).toContain("run member add d");
  });

  test("does not wait for answers that cannot come", () => {
    // Not all of the five members are listed here, so there is nobody else to ask.
    const five = answer(["a", "b", "x", "y", "z"]);
    const members = [founderOf("a"), founderOf("b"), founderOf("d")];
    expect(why(join({ members }), { a: five, b: five })).toContain("knows no member at");
  });

  test("who still lists a removed member with our URLs is behind", () => {
    const old = answer(["a", "b", "c", member("d", 99n)]);
    expect(why(join(), { a: old })).toContain("already started");
    const ahead = { ...listed, removedMemberIds: [99n] };
    expect(step(join(), { a: old, b: ahead })).toMatchObject({ kind: "join", memberId: ID });
  });

  test("is refused to whoever was seen to start", () => {
    const text = why(join(), { a: answer(["a", "b", "c", member("d", ID)]) });
    expect(text).toContain("a knows member feed000000000001");
    expect(text).toContain("there is no data here");
  });

  test("is refused to a founder that was removed and not added anew", () => {
    const gone = answer(["b", "c"], { removedMemberIds: [idOf("a")] });
    const of = config({ state: "existing" });
    expect(why(of, { b: gone, c: gone })).toContain("removed from the cluster, for good");
  });

  test("is refused between two clusters", () => {
    const other = answer(["b"], { clusterId: 77n });
    expect(why(join(), { a: listed, b: other })).toContain("b to 4d");
  });

  test("is refused when the configuration lists others than there are", () => {
    const members = [...FOUNDERS.slice(1), founderOf("d")];
    expect(why(join({ members }), { b: listed })).toContain("at http://a:2380, which b does");
    const more = [...FOUNDERS, founderOf("d"), founderOf("e")];
    const text = why(join({ members: more }), { b: listed });
    expect(text).toContain("lists 5 members, the cluster has 4");
  });
});
