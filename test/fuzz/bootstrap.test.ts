/** What others say of the cluster while a member begins: it decides or refuses, whatever it is. */
import { expect } from "bun:test";
import fc from "fast-check";
import { type BootstrapConfig, bootstrap } from "../../src/cluster/bootstrap.ts";
import { foundCluster, memberIdOf } from "../../src/cluster/founding.ts";
import { MembersPeerResponse } from "../../src/proto/gen/aether.v1.ts";
import { Member } from "../../src/proto/gen/etcdserverpb.ts";
import { fuzz } from "./fuzz.ts";

const URLS = ["http://a:1", "http://b:1", "http://c:1", "http://d:1"] as const;
const NAMES = ["a", "b", "c", "d"] as const;
const TOKEN = "t";
const FOUNDERS = NAMES.slice(0, 3).map((name, i) => ({ name, peerUrls: [URLS[i] as string] }));
const FOUNDED = foundCluster(FOUNDERS, TOKEN);

const id = fc.constantFrom(
  ...[0n, 1n, 2n ** 64n - 1n],
  ...URLS.map((url) => memberIdOf([url], TOKEN) as bigint),
);
const urls = fc.array(fc.constantFrom(...URLS, "", "nonsense"), { maxLength: 3 });
const member = fc
  .record({ ID: id, name: fc.constantFrom("", ...NAMES), peerURLs: urls, clientURLs: urls })
  .map((drawn) => Member.create(drawn));
/** The three founders under other ids, of whom some have started. */
const renamed = fc.array(fc.tuple(id, fc.boolean()), { minLength: 3, maxLength: 3 }).map((drawn) =>
  FOUNDERS.map(({ name, peerUrls }, i) => {
    const [ID, isStarted] = drawn[i] as [bigint, boolean];
    return Member.create({ ID, name: isStarted ? name : "", peerURLs: peerUrls });
  }),
);
const answer = fc
  .record({
    clusterId: fc.constantFrom(0n, 1n, FOUNDED.clusterId, 2n ** 64n - 1n),
    memberId: id,
    members: fc.oneof(renamed, fc.array(member, { maxLength: 4 })),
    removedMemberIds: fc.array(id, { maxLength: 3 }),
  })
  .map((drawn) => MembersPeerResponse.create(drawn));

/** As the configuration hands them over: each with a URL, and its name once. */
const ownUrls = fc.uniqueArray(fc.constantFrom(...URLS), { minLength: 1, maxLength: 3 });
const founders = fc.oneof(
  fc.constant(FOUNDERS),
  fc.uniqueArray(fc.record({ name: fc.constantFrom(...NAMES), peerUrls: ownUrls }), {
    maxLength: 4,
    selector: ({ name }) => name,
  }),
);

fuzz({
  name: "bootstrap",
  inputs: [
    fc.record({
      name: fc.constantFrom(...NAMES),
      peerUrls: fc.oneof(fc.constant([URLS[0]]), ownUrls),
      members: founders,
      state: fc.constantFrom("new" as const, "existing" as const),
    }),
    fc.dictionary(fc.constantFrom(...NAMES), answer, { maxKeys: 4 }),
  ],
  check(drawn, answers) {
    const config: BootstrapConfig = { ...drawn, token: TOKEN };
    const step = bootstrap(config, new Map(Object.entries(answers)));
    if (step.kind === "refuse") expect(step.why.length).toBeGreaterThan(10);
    else if (step.kind === "wait") expect(step.needed).toBeGreaterThan(0);
    else {
      // Raft and the transport assert that neither is 0.
      expect(step.memberId).not.toBe(0n as typeof step.memberId);
      expect(step.clusterId).not.toBe(0n);
      expect(step.members.some(({ ID }) => ID === step.memberId)).toBe(true);
    }
  },
  runs: 4000,
});
