/** The commands about members, leadership and alarms, against servers that answer by script. */
import { afterEach, describe, expect, test } from "bun:test";
import { ByteWriter } from "../../src/base/bytes.ts";
import {
  AlarmAction,
  type AlarmRequest,
  AlarmResponse,
  Cluster,
  Maintenance,
  Member,
  type MemberAddRequest,
  MemberAddResponse,
  MemberListResponse,
  type MoveLeaderRequest,
  MoveLeaderResponse,
  ResponseHeader,
  StatusResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import type { MethodType } from "../../src/proto/message.ts";
import type { Method } from "../../src/wire/grpc/server-call.ts";
import { type EchoServer, echoServer } from "../net/echo-server.ts";
import { runFake } from "./fake-io.ts";

const servers: EchoServer[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) await server.listener.stop(0);
});

async function serve(methods: readonly Method[]): Promise<string> {
  const server = await echoServer({ methods });
  servers.push(server);
  return server.url;
}

/** Answers each request of a unary method by `answer`. */
function says<Request, Response>(
  { path, request, response }: MethodType<Request, Response>,
  answer: (message: Request) => Partial<Response>,
): Method {
  return {
    path,
    unary: (call, bytes, start, end) => {
      const out = new ByteWriter();
      response.encode(response.create(answer(request.decode(bytes, start, end))), out);
      call.reply(out.bytes, 0, out.length);
    },
  };
}

const ctl = async (endpoints: readonly string[], words: readonly string[]) => {
  const { stdout, stderr, status } = await runFake([
    ...words,
    `--endpoints=${endpoints.join(",")}`,
    "--command-timeout=2s",
  ]);
  return { stdout: stdout.toString(), stderr, status };
};

const header = ResponseHeader.create({ clusterId: 0xabcn, memberId: 0x1fn });

describe("move-leader", () => {
  /** A member whose view of the leader is `leader`; notes whom it was to hand over to. */
  const member = (memberId: bigint, leader: bigint, moved: bigint[]) =>
    serve([
      says(Maintenance.Status, () => {
        return StatusResponse.create({ header: ResponseHeader.create({ memberId }), leader });
      }),
      says(Maintenance.MoveLeader, ({ targetID }: MoveLeaderRequest) => {
        moved.push(targetID);
        return MoveLeaderResponse.create();
      }),
    ]);

  test("asks the leader, wherever it is among the endpoints", async () => {
    const moved: bigint[] = [];
    const endpoints = [
      await member(0x2n, 0x1fn, []),
      await member(0x1fn, 0x1fn, moved),
      await member(0x3n, 0x1fn, []),
    ];
    const result = await ctl(endpoints, ["move-leader", "2"]);
    expect(result.stdout).toBe("Leadership transferred from 1f to 2\n");
    expect([result.status, moved]).toEqual([0, [2n]]);
  });

  test("says so when the leader is not among them, or there is none", async () => {
    for (const leader of [0x1fn, 0n]) {
      const endpoint = await member(0n, leader, []);
      const result = await ctl([endpoint], ["move-leader", "2"]);
      expect(result).toEqual({
        stdout: "",
        stderr: `Error: no leader endpoint given at [${endpoint}]\n`,
        status: 128,
      });
    }
  });
});

describe("alarm disarm", () => {
  test("clears each alarm by its member and type, and shows what was cleared", async () => {
    const cleared: [bigint, number][] = [];
    const alarms = [
      { memberID: 5n, alarm: 1 },
      { memberID: 6n, alarm: 2 },
      { memberID: 0n, alarm: 2 },
    ] as const;
    const endpoint = await serve([
      says(Maintenance.Alarm, ({ action, memberID, alarm }: AlarmRequest) => {
        if (action === AlarmAction.GET)
          return AlarmResponse.create({ header, alarms: [...alarms] });
        cleared.push([memberID, alarm]);
        return AlarmResponse.create({ header, alarms: [{ memberID, alarm }] });
      }),
    ]);
    const lines = "memberID:5 alarm:NOSPACE \nmemberID:6 alarm:CORRUPT \nalarm:CORRUPT \n";
    expect(await ctl([endpoint], ["alarm", "list"])).toMatchObject({ stdout: lines });
    expect(await ctl([endpoint], ["alarm", "disarm"])).toMatchObject({ stdout: lines });
    expect(cleared).toEqual([
      [5n, 1],
      [6n, 2],
      [0n, 2],
    ]);
    const fields = await ctl([endpoint], ["alarm", "list", "-w", "fields"]);
    expect(fields.stdout).toEndWith('"MemberID" : 0\n"AlarmType" : CORRUPT\n\n');
  });
});

const a = Member.create({ ID: 0x1fn, name: "a", peerURLs: ["http://a:1"] });
const b = Member.create({ ID: 0x2en, peerURLs: ["http://b:1", "http://b:2"], isLearner: true });

describe("member add", () => {
  test("shows what to start the new member with", async () => {
    const asked: MemberAddRequest[] = [];
    const endpoint = await serve([
      says(Cluster.MemberAdd, (request: MemberAddRequest) => {
        asked.push(request);
        return MemberAddResponse.create({ header, member: b, members: [a, b] });
      }),
    ]);
    const words = ["member", "add", "new", "--learner", "--peer-urls=http://b:1,http://b:2"];
    const { stdout } = await ctl([endpoint], words);
    expect(stdout).toBe(
      [
        `Member ${"2e".padStart(16)} added as learner to cluster ${"abc".padStart(16)}`,
        "",
        'ETCD_NAME="new"',
        'ETCD_INITIAL_CLUSTER="a=http://a:1,new=http://b:1,new=http://b:2"',
        'ETCD_INITIAL_ADVERTISE_PEER_URLS="http://b:1,http://b:2"',
        'ETCD_INITIAL_CLUSTER_STATE="existing"\n',
      ].join("\n"),
    );
    expect(asked).toEqual([{ peerURLs: ["http://b:1", "http://b:2"], isLearner: true }]);
    const hex = await ctl([endpoint], [...words, "-w", "json", "--hex"]);
    expect(JSON.parse(hex.stdout)).toMatchObject({
      header: { cluster_id: "abc", member_id: "1f" },
      member: { ID: "2e" },
      members: [{ ID: "1f" }, { ID: "2e" }],
    });
  });

  const wrong: readonly [string, string][] = [
    ["http://[::1]", 'URL address does not have the form "host:port"'],
    ["http://a:1:2", 'URL address does not have the form "host:port"'],
    ["http://::1:2", 'URL address does not have the form "host:port"'],
    ["a:1", "URL scheme must be http, https, unix, or unixs"],
    ["http://a:1/", "URL must not contain a path"],
  ];
  test.each(wrong)("refuses %s before it asks anybody", async (url, fault) => {
    const result = await ctl(["127.0.0.1:1"], ["member", "add", "new", `--peer-urls=${url}`]);
    expect(result).toEqual({ stdout: "", stderr: `Error: ${fault}: ${url}\n`, status: 1 });
  });

  test("takes an address of version 6", async () => {
    const endpoint = await serve([
      says(Cluster.MemberAdd, ({ peerURLs }: MemberAddRequest) => {
        const member = Member.create({ ID: 1n, peerURLs });
        return MemberAddResponse.create({ header, member, members: [member] });
      }),
    ]);
    const { stdout } = await ctl([endpoint], ["member", "add", "n", "--peer-urls=http://[::1]:2"]);
    expect(stdout).toContain('ETCD_INITIAL_CLUSTER="n=http://[::1]:2"\n');
  });
});

describe("endpoint --cluster", () => {
  test("asks every member where its clients find it, each once", async () => {
    const ids = [0x11n, 0x12n];
    const urls: string[] = [];
    for (const memberId of ids) {
      const statusHeader = ResponseHeader.create({ memberId });
      const methods = [
        says(Maintenance.Status, () => StatusResponse.create({ header: statusHeader })),
        says(Maintenance.HashKV, () => ({ header: statusHeader, hash: 7, hashRevision: 3 })),
        says(Cluster.MemberList, () => {
          const members = urls.map((url, at) =>
            Member.create({ ID: ids[at] ?? 0n, clientURLs: [`http://${url}`, `http://${url}`] }),
          );
          return MemberListResponse.create({ header, members });
        }),
      ];
      urls.push(await serve(methods));
    }
    const [first = ""] = urls;
    const status = await ctl([first], ["endpoint", "status", "--cluster"]);
    const shown = status.stdout
      .trim()
      .split("\n")
      .map((line) => line.split(", ").slice(0, 2));
    expect(shown).toEqual(urls.map((url, at) => [`http://${url}`, (ids[at] ?? 0n).toString(16)]));
    const hashes = await ctl([first], ["endpoint", "hashkv", "--cluster"]);
    expect(hashes.stdout).toBe(urls.map((url) => `http://${url}, 7, 3\n`).join(""));
  });
});
