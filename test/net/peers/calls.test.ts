/** Small questions between members, over real sockets; and peers with certificates. */
import { afterEach, describe, expect, test } from "bun:test";
import { AetherError } from "../../../src/base/errors.ts";
import { Secret } from "../../../src/base/secret.ts";
import { parseAddress } from "../../../src/net/address.ts";
import { listen } from "../../../src/net/listener.ts";
import { Network } from "../../../src/net/network.ts";
import { askMembers } from "../../../src/net/peers/ask-members.ts";
import { socketDialer } from "../../../src/net/peers/dial.ts";
import type { PeersOptions } from "../../../src/net/peers/peers.ts";
import type { PeerCallHandlers } from "../../../src/net/peers/ports.ts";
import {
  AetherPeer,
  HashKVPeerRequest,
  LeaseRemainingPeerRequest,
  LeaseRenewPeerRequest,
  LeaseTime,
  MemberChangePeerRequest,
  type MemberChangePeerResponse,
  MemberInfoRequest,
  MemberInfoResponse,
  Member as MemberRecord,
} from "../../../src/proto/gen/aether.v1.ts";
import { GrpcServerConnection } from "../../../src/wire/grpc/server-connection.ts";
import { CA_CERT, CLIENT_CERT, CLIENT_KEY, SERVER_CERT, SERVER_KEY } from "../certificates.ts";
import { ToyConnection } from "../toy-connection.ts";
import { until } from "../until.ts";
import {
  CLUSTER,
  heartbeat,
  ID,
  introduce,
  type Member,
  startMember,
  toyServer,
} from "./members.ts";

const members: Member[] = [];

async function pair(): Promise<[Member, Member]> {
  const [a, b] = [await startMember(1), await startMember(2)];
  members.push(a, b);
  introduce(a, b);
  await until(() => a.peers.status()[0]?.up === true, "a reaches b");
  return [a, b];
}

afterEach(async () => {
  for (const member of members.splice(0)) await member.stop();
});

async function failure(answer: Promise<unknown>): Promise<string> {
  try {
    await answer;
    return "none";
  } catch (error) {
    if (!(error instanceof AetherError)) throw error;
    return error.message;
  }
}

describe("calls", () => {
  test("are answered by the member asked, at once or later", async () => {
    const [a, b] = await pair();
    Object.assign(b.seen.calls, {
      leaseRenew: ({ group, IDs }) => ({
        leases: IDs.map((ID) => LeaseTime.create({ ID, TTL: group, grantedTTL: 60 })),
      }),
      leaseRemaining: async ({ IDs }) => {
        await Bun.sleep(0);
        return { leases: IDs.map((ID) => LeaseTime.create({ ID, error: "lease_not_found" })) };
      },
      memberInfo: () => MemberInfoResponse.create({ clusterId: CLUSTER, clientUrls: ["http://x"] }),
      hashKv: ({ revision }) => ({
        hash: 9,
        compactRevision: 3,
        hashRevision: revision,
        revision: 8,
      }),
    } satisfies Partial<PeerCallHandlers>);
    const IDs = [-5n, 2n ** 63n - 1n];
    const renew = LeaseRenewPeerRequest.create({ group: 7, IDs });
    expect(await a.peers.call(ID(2), AetherPeer.LeaseRenew, renew, 1000)).toEqual({
      leases: IDs.map((ID) => ({ ID, TTL: 7, grantedTTL: 60, error: "" })),
    });
    const remaining = LeaseRemainingPeerRequest.create({ IDs });
    const { leases } = await a.peers.call(ID(2), AetherPeer.LeaseRemaining, remaining, 1000);
    expect(leases.map(({ error }) => error)).toEqual(["lease_not_found", "lease_not_found"]);
    const info = await a.peers.call(ID(2), AetherPeer.MemberInfo, MemberInfoRequest.create(), 1000);
    expect(info).toMatchObject({ clusterId: CLUSTER, clientUrls: ["http://x"] });
    const hash = HashKVPeerRequest.create({ revision: 6 });
    expect(await a.peers.call(ID(2), AetherPeer.HashKV, hash, 1000)).toMatchObject({
      hash: 9,
      hashRevision: 6,
    });
  });

  test("change the membership at the member asked", async () => {
    const [a, b] = await pair();
    b.seen.calls.memberChange = ({ group, promote }) => {
      if (promote === undefined) throw new AetherError("learner_not_ready", "at 12%");
      return { index: group, member: MemberRecord.create({ ID: promote.ID }) };
    };
    const ask = (change: Partial<MemberChangePeerRequest>): Promise<MemberChangePeerResponse> =>
      a.peers.call(ID(2), AetherPeer.MemberChange, MemberChangePeerRequest.create(change), 1000);
    expect(await ask({ group: 4, promote: { ID: 2n ** 64n - 1n } })).toMatchObject({
      index: 4,
      member: { ID: 2n ** 64n - 1n },
    });
    expect(await failure(ask({ remove: { ID: 1n } }))).toBe("learner_not_ready: at 12%");
  });

  test("fail with what the member failed with", async () => {
    const [a, b] = await pair();
    const renew = LeaseRenewPeerRequest.create();
    const ask = (ms = 1000): Promise<string> =>
      failure(a.peers.call(ID(2), AetherPeer.LeaseRenew, renew, ms));
    b.seen.calls.leaseRenew = () => {
      throw new AetherError("not_leader", "ask 3");
    };
    expect(await ask()).toBe("not_leader: ask 3");
    b.seen.calls.leaseRenew = () => Promise.reject(new AetherError("not_primary_lessor"));
    expect(await ask()).toBe("not_primary_lessor");
    b.seen.calls.leaseRenew = () => Promise.reject(new AetherError("empty_key", "odd"));
    expect(await ask()).toBe("unhealthy: empty_key: odd"); // no failure between members
    b.seen.calls.leaseRenew = () => new Promise(() => undefined);
    expect(await ask(20)).toContain("timeout");
    const waiting = ask(5000);
    await b.stop();
    expect(await waiting).toContain("unhealthy");
    await until(() => a.peers.status()[0]?.up === false, "the loss");
    expect(await ask()).toContain("unhealthy");
    expect(await failure(a.peers.call(ID(9), AetherPeer.LeaseRenew, renew, 9))).toContain(
      "no such member",
    );
  });
});

describe("the members", () => {
  const network = new Network();
  const answer = {
    clusterId: CLUSTER,
    memberId: ID(1),
    members: [MemberRecord.create({ ID: ID(1), name: "one", peerURLs: ["http://x:1"] })],
    removedMemberIds: [5n],
  };

  async function asked(extra: Partial<PeersOptions> = {}): Promise<Member> {
    const member = await startMember(1, extra);
    members.push(member);
    member.seen.calls.members = () => answer;
    return member;
  }

  test("are told to who is no member and knows nothing", async () => {
    const { url } = await asked({ secret: new Secret("geheim") });
    const asking = askMembers(socketDialer(network), url, new Secret("geheim"), 1000);
    expect(await asking).toEqual(answer);
    await until(() => network.linkCount === 0, "it hangs up");
  });

  test("are not told to who cannot prove that it belongs here", async () => {
    const { url, peers } = await asked({ secret: new Secret("geheim") });
    for (const secret of [undefined, new Secret("geraten")]) {
      const asking = askMembers(socketDialer(network), url, secret, 1000);
      expect(await failure(asking)).toContain("UNAUTHENTICATED: the caller does not prove");
    }
    expect(peers.received.refused.unauthorized).toBe(2);
  });

  test("are not asked of who has no secret, which says what to set", async () => {
    const { url, peers } = await asked();
    const asking = askMembers(socketDialer(network), url, new Secret("geheim"), 1000);
    expect(await failure(asking)).toContain("this member has none: set the same one on every");
    expect(peers.received.refused["no-secret"]).toBe(1);
  });

  test("are not told when nobody is there, or nobody answers", async () => {
    const ask = (url: string): Promise<string> =>
      failure(askMembers(socketDialer(network), url, undefined, 200));
    expect(await ask("http://127.0.0.1:1")).toContain("unhealthy");
    expect(await ask("nonsense")).toContain("not an address");
    const { url, seen } = await asked();
    seen.calls.members = () => new Promise(() => undefined);
    expect(await ask(url)).toContain("timeout");
    seen.calls.members = () => Promise.reject(new AetherError("no_leader"));
    expect(await ask(url)).toBe("no_leader");
  });
});

test("a verified certificate lets a member in, and only that where it is asked for", async () => {
  const network = new Network();
  const names: (string | undefined)[] = [];
  const strict = await startMember(3, {
    authorize: (peer) => {
      names.push(peer.certificateName);
      return peer.certificateName === undefined ? "show a certificate" : undefined;
    },
  });
  const own = { cert: SERVER_CERT, key: SERVER_KEY, ca: CA_CERT, clientCertRequired: true };
  const mutual = () => ({ ca: CA_CERT, cert: CLIENT_CERT, key: CLIENT_KEY });
  const a = await startMember(1, { dialer: socketDialer(network, mutual) });
  const bare = await startMember(4, { dialer: socketDialer(network, () => ({ ca: CA_CERT })) });
  members.push(a, bare, strict);
  const server = toyServer(strict.peers);
  const listener = await listen(network, {
    address: parseAddress("https://127.0.0.1:0"),
    tls: () => own,
    http1: () => new ToyConnection(),
    http2: (peer, nowMs) => {
      const peerName = String(peer.certificate?.subject.CN);
      return new GrpcServerConnection(server, { peer: peer.address, nowMs, peerName });
    },
  });
  const port = listener.address.kind === "tcp" ? listener.address.port : 0;
  const urls = [`https://127.0.0.1:${port}`];
  strict.peers.setPeers([a, bare].map(({ id, url }) => ({ id, urls: [url] })));
  a.peers.setPeers([{ id: ID(3), urls }]);
  bare.peers.setPeers([{ id: ID(3), urls }]);
  await until(() => a.peers.status()[0]?.up === true, "mutual TLS");
  a.peers.send(1, [heartbeat(1, 3, 1)]);
  await until(() => strict.seen.rounds.length === 1, "a heartbeat over TLS");
  await until(
    () => bare.peers.status()[0]?.reason !== "not tried yet",
    "no certificate, no way in",
  );
  expect(bare.peers.status()[0]?.up).toBe(false);
  expect(new Set(names)).toEqual(new Set([names[0]]));
  expect(names[0]).toMatch(/\w/);
  await listener.stop(0);
});
