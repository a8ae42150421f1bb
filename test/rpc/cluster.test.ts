/** Cluster and AetherCluster: what is asked of the membership, and how its answers look. */
import { describe, expect, test } from "bun:test";
import { AetherError, type ErrorCode } from "../../src/base/errors.ts";
import { AetherCluster } from "../../src/proto/gen/aether.v1.ts";
import {
  Cluster,
  Member,
  MemberAddRequest,
  MemberAddResponse,
  MemberListRequest,
  MemberListResponse,
  MemberPromoteRequest,
  MemberPromoteResponse,
  MemberRemoveRequest,
  MemberRemoveResponse,
  MemberUpdateRequest,
  MemberUpdateResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import { MEMBER } from "../node/driven-group.ts";
import { CLUSTER, Harness } from "./harness.ts";

const a = Member.create({ ID: MEMBER, name: "a", peerURLs: ["http://a:1"] });
const b = Member.create({ ID: 2n, peerURLs: ["http://b:1"], isLearner: true });
const peerURLs = ["http://b:1"];
const members = [a, b];

describe.each([
  ["etcd's", Cluster],
  ["ours", AetherCluster],
])("%s", (_name, service) => {
  test("asks what was asked, and answers the members without a revision", () => {
    const harness = new Harness();
    const { membership } = harness;
    membership.answer = { member: b, members };
    const header = { clusterId: CLUSTER, memberId: MEMBER, revision: 0 };
    const added = harness.call(service.MemberAdd.path, MemberAddRequest, {
      peerURLs,
      isLearner: true,
    });
    expect(added.decode(MemberAddResponse)).toMatchObject({ header, member: b, members });
    const removed = harness.call(service.MemberRemove.path, MemberRemoveRequest, { ID: 7n });
    expect(removed.decode(MemberRemoveResponse)).toMatchObject({ header, members });
    const updated = harness.call(service.MemberUpdate.path, MemberUpdateRequest, {
      ID: 8n,
      peerURLs,
    });
    expect(updated.decode(MemberUpdateResponse)).toMatchObject({ header, members });
    const promoted = harness.call(service.MemberPromote.path, MemberPromoteRequest, { ID: 9n });
    expect(promoted.decode(MemberPromoteResponse)).toMatchObject({ header, members });
    for (const linearizable of [true, false]) {
      const listed = harness.call(service.MemberList.path, MemberListRequest, { linearizable });
      expect(listed.decode(MemberListResponse)).toMatchObject({ header, members });
    }
    expect(membership.asked as unknown[]).toEqual([
      ["add", { peerURLs, isLearner: true }],
      ["remove", { ID: 7n }],
      ["update", { ID: 8n, peerURLs }],
      ["promote", { ID: 9n }],
      ["list", true],
      ["list", false],
    ]);
    expect(added.decode(MemberAddResponse).header?.raftTerm).toBe(harness.driven.group.term);
  });

  const failures: readonly [ErrorCode, string][] = [
    ["member_not_found", "5 etcdserver: member not found"],
    ["peer_urls_exist", "9 etcdserver: Peer URLs already exists"],
    ["bad_member_urls", "3 etcdserver: given member URLs are invalid"],
    ["too_many_learners", "9 etcdserver: too many learner members in cluster"],
    ["not_a_learner", "9 etcdserver: can only promote a learner member"],
    [
      "learner_not_ready",
      "9 etcdserver: can only promote a learner member which is in sync with leader",
    ],
    [
      "too_few_started_members",
      "2 etcdserver: re-configuration failed due to not enough started members",
    ],
    ["unhealthy", "14 etcdserver: unhealthy cluster"],
  ];
  test.each(failures)("fails with etcd's text and code: %s", (code, text) => {
    const harness = new Harness();
    harness.membership.answer = new AetherError(code);
    const calls = [
      harness.call(service.MemberAdd.path, MemberAddRequest, { peerURLs }),
      harness.call(service.MemberRemove.path, MemberRemoveRequest, { ID: 7n }),
      harness.call(service.MemberUpdate.path, MemberUpdateRequest, { ID: 7n, peerURLs }),
      harness.call(service.MemberPromote.path, MemberPromoteRequest, { ID: 7n }),
      harness.call(service.MemberList.path, MemberListRequest),
    ];
    expect(calls.map((call) => call.text)).toEqual(calls.map(() => text));
  });

  test("refuses what is no message, and a request that is too large, and asks nobody", () => {
    const harness = new Harness();
    expect(harness.start(service.MemberAdd.path, new Uint8Array([0x0a, 0xff])).text).toMatch(
      /^13 /,
    );
    const large = harness.call(service.MemberAdd.path, MemberAddRequest, {
      peerURLs: ["x".repeat(2 * 1024 * 1024)],
    });
    expect(large.text).toBe("3 etcdserver: request is too large");
    expect(harness.membership.asked).toEqual([]);
  });
});
