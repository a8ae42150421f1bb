import { describe, expect, test } from "bun:test";
import {
  AlarmAction,
  AlarmRequest,
  AlarmType,
  Member,
  MemberPromoteRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { Endpoints, type HttpAnswer, NOT_FOUND } from "../../src/server/endpoints.ts";
import { WHOLE_CLUSTER } from "../../src/state/alarms.ts";
import { CommandKind } from "../../src/state/command.ts";
import { DrivenGroup, MEMBER, REQUEST_TIMEOUT_MS } from "../node/driven-group.ts";
import { encoded } from "../state/driver.ts";

function endpointsOf(driven: DrivenGroup): Endpoints {
  return new Endpoints({
    group: driven.group,
    memberId: MEMBER,
    metrics: (respond) => respond("aether_up 1\n"),
    cluster: () => ({ members: [] }),
    clusterVersion: () => "3.7.0",
  });
}

/** The answer, once the group has done what it waits for. */
function get(driven: DrivenGroup, target: string, method = "GET"): HttpAnswer {
  const [path = "", query = ""] = target.split("?");
  const answers: HttpAnswer[] = [];
  const known = endpointsOf(driven).handle(method, path, query, (answer) => answers.push(answer));
  if (!known) answers.push(NOT_FOUND);
  driven.settle();
  if (answers.length !== 1) throw new Error(`${target}: ${answers.length} answers`);
  return answers[0] as HttpAnswer;
}

const text = (driven: DrivenGroup, target: string): string => {
  const { status, body } = get(driven, target);
  return `${status} ${body}`;
};

describe("a member that leads", () => {
  const driven = DrivenGroup.leading();

  test("is healthy in etcd's words", () => {
    expect(text(driven, "/health")).toBe('200 {"health":"true","reason":""}');
    expect(text(driven, "/health?serializable=true")).toBe('200 {"health":"true","reason":""}');
    expect(text(driven, "/health?exclude=NOSPACE")).toBe('200 {"health":"true","reason":""}');
    expect(text(driven, "/livez")).toBe("200 ok\n");
    expect(text(driven, "/readyz")).toBe("200 ok\n");
    expect(text(driven, "/health/live")).toBe("200 ok\n");
    expect(text(driven, "/health/ready")).toBe("200 ok\n");
    expect(text(driven, "/readyz/linearizable_read")).toBe("200 ok\n");
  });

  test("names its checks when asked", () => {
    expect(text(driven, "/livez?verbose")).toBe("200 [+]serializable_read ok\nok\n");
    expect(text(driven, "/readyz?verbose&exclude=data_corruption&exclude=non_learner")).toBe(
      "200 [+]serializable_read ok\n[+]linearizable_read ok\nok\n",
    );
    const all = "exclude=data_corruption&exclude=non_learner&exclude=serializable_read";
    expect(text(driven, `/readyz?${all}&exclude=linearizable_read`)).toBe("200 ok\n");
  });

  test("says its versions, metrics and cluster", () => {
    const versions = '{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}';
    expect(text(driven, "/version")).toBe(`200 ${versions}`);
    const metrics = get(driven, "/metrics");
    expect(metrics.body).toBe("aether_up 1\n");
    expect(metrics.fields[1]).toStartWith("text/plain; version=0.0.4");
    expect(text(driven, "/cluster")).toBe('200 {"members":[]}\n');
  });

  test("has only GET for what etcd has it for", () => {
    const fields = [
      ...["content-type", "text/plain; charset=utf-8", "x-content-type-options", "nosniff"],
      ...["allow", "GET"],
    ];
    for (const path of ["/health", "/livez", "/readyz", "/readyz/non_learner", "/version"]) {
      for (const method of ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"]) {
        const refused = { status: 405, fields, body: "Method Not Allowed\n" };
        expect(get(driven, path, method)).toEqual(refused);
      }
    }
    expect(get(driven, "/metrics", "POST").status).toBe(200);
  });

  test("says so when the members have not agreed on a version", () => {
    const undecided = new Endpoints({
      ...{
        group: driven.group,
        memberId: MEMBER,
        metrics: (respond) => respond(""),
        cluster: () => ({}),
      },
      clusterVersion: () => undefined,
    });
    expect(JSON.parse(undecided.version().body).etcdcluster).toBe("not_decided");
  });

  test("counts what it said of its health", () => {
    const endpoints = endpointsOf(driven);
    for (const path of ["/health", "/readyz", "/livez/serializable_read"]) {
      endpoints.handle("GET", path, "", () => {});
    }
    driven.settle();
    expect(endpoints.counts.success).toBe(1);
    expect([...endpoints.counts.checks].sort()).toEqual([
      ["livez serializable_read success", 1],
      ["readyz data_corruption success", 1],
      ["readyz linearizable_read success", 1],
      ["readyz non_learner success", 1],
      ["readyz serializable_read success", 1],
    ]);
  });

  test("has no versions for observers", () => {
    const endpoints = endpointsOf(driven);
    const answers: number[] = [];
    const respond = ({ status }: HttpAnswer): number => answers.push(status);
    const known = ["/metrics", "/health", "/livez", "/cluster", "/version", "/nothing"].map(
      (path) => endpoints.handleObserver("GET", path, "", respond),
    );
    driven.settle();
    expect(known).toEqual([true, true, true, true, false, false]);
    expect(answers).toEqual([200, 200, 200, 200]);
  });
});

function apply(driven: DrivenGroup, kind: CommandKind, body: Uint8Array): void {
  const call = driven.propose(kind, body);
  driven.settle();
  expect(call.code).toBe("ok");
}

describe("a member whose state is corrupt, or that may be the wrong one", () => {
  const { ACTIVATE, DEACTIVATE } = AlarmAction;
  const alarm = (driven: DrivenGroup, action: AlarmAction, memberID: bigint): void =>
    apply(
      driven,
      CommandKind.alarm,
      encoded(AlarmRequest, { action, memberID, alarm: AlarmType.CORRUPT }),
    );

  test.each([MEMBER, WHOLE_CLUSTER])("is not ready, and says so (%p)", (memberId) => {
    const driven = DrivenGroup.leading();
    alarm(driven, ACTIVATE, memberId);
    expect(text(driven, "/livez")).toBe("200 ok\n");
    expect(text(driven, "/readyz/data_corruption")).toBe(
      "503 [-]data_corruption failed: alarm activated: CORRUPT\n\n",
    );
    expect(get(driven, "/readyz").status).toBe(503);
    expect(text(driven, "/readyz?exclude=data_corruption")).toBe("200 ok\n");
    const unhealthy = '503 {"health":"false","reason":"ALARM CORRUPT"}\n';
    expect(text(driven, "/health")).toBe(unhealthy);
    expect(text(driven, "/health?exclude=NOSPACE")).toBe(unhealthy);
    expect(text(driven, "/health?exclude=CORRUPT")).toBe('200 {"health":"true","reason":""}');
    alarm(driven, DEACTIVATE, memberId);
    expect(text(driven, "/readyz")).toBe("200 ok\n");
  });

  test("is no other member", () => {
    const driven = DrivenGroup.leading();
    alarm(driven, ACTIVATE, 7n);
    expect(text(driven, "/readyz")).toBe("200 ok\n");
    expect(text(driven, "/health")).toBe('200 {"health":"true","reason":""}');
  });
});

test("a member of a cluster without room is not healthy, but ready", () => {
  const driven = DrivenGroup.leading();
  const alarm = { action: AlarmAction.ACTIVATE, memberID: 7n, alarm: AlarmType.NOSPACE };
  apply(driven, CommandKind.alarm, encoded(AlarmRequest, alarm));
  expect(text(driven, "/health")).toBe('503 {"health":"false","reason":"ALARM NOSPACE"}\n');
  expect(get(driven, "/health").fields).toContain("nosniff");
  const healthy = '200 {"health":"true","reason":""}';
  expect(text(driven, "/health?exclude=NOSPACE")).toBe(healthy);
  expect(text(driven, "/health?exclude=CORRUPT&exclude=NOSPACE")).toBe(healthy);
  expect(text(driven, "/readyz")).toBe("200 ok\n");
});

test("a learner is not ready until it is promoted", () => {
  const driven = DrivenGroup.leading();
  const record = { ID: MEMBER, peerURLs: ["http://a:1"], isLearner: true };
  apply(driven, CommandKind.memberAdd, encoded(Member, record));
  expect(text(driven, "/readyz/non_learner")).toBe(
    "503 [-]non_learner failed: not supported for learner\n\n",
  );
  apply(driven, CommandKind.memberPromote, encoded(MemberPromoteRequest, { ID: MEMBER }));
  expect(text(driven, "/readyz")).toBe("200 ok\n");
});

describe("paths that nobody serves", () => {
  const driven = DrivenGroup.leading();
  const paths = [
    "",
    "/",
    "//",
    "/nothing",
    "/livez/",
    "/livez/nothing",
    "/livez/linearizable_read",
    "/readyz/serializable_read/more",
    "/health/live/serializable_read",
    "/health/other",
    "/health/",
    "health",
    "/%2e%2e/health",
    "/HEALTH",
    // names that every object has
    "/constructor",
    "/constructor/name",
    "/__proto__",
    "/toString",
    "/hasOwnProperty/x",
    "/readyz/constructor",
    "/readyz/__proto__",
    "/health/constructor",
  ];
  test.each(paths)("%p is not found", (path) => {
    expect(text(driven, path)).toBe("404 404 page not found\n");
  });

  test("whatever the query", () => {
    expect(get(driven, "/constructor?verbose&exclude=__proto__").status).toBe(404);
    expect(get(driven, "/readyz?exclude=constructor&verbose=%zz&%").status).toBe(200);
  });
});

describe("a member without a leader", () => {
  // A voter of two: alone it cannot lead.
  const lonely = new DrivenGroup({ voters: [0x8e9e05c52164694dn, 2n] as never });
  lonely.group.start();
  lonely.settle();

  test("lives, is not ready, and says so", () => {
    expect(text(lonely, "/livez")).toBe("200 ok\n");
    expect(text(lonely, "/health")).toBe('503 {"health":"false","reason":"RAFT NO LEADER"}\n');
    expect(text(lonely, "/health?serializable=true")).toBe('200 {"health":"true","reason":""}');
    expect(text(lonely, "/readyz")).toBe(
      "503 [+]data_corruption ok\n[+]serializable_read ok\n" +
        "[-]linearizable_read failed: etcdserver: no leader\n[+]non_learner ok\n\n",
    );
  });
});

describe("a check that has to wait", () => {
  test("is answered when the read is confirmed, or timed out", () => {
    const driven = new DrivenGroup();
    driven.group.start();
    driven.log.sync(2);
    const answers: HttpAnswer[] = [];
    const respond = (answer: HttpAnswer): number => answers.push(answer);
    endpointsOf(driven).handle("GET", "/readyz", "", respond);
    endpointsOf(driven).handle("GET", "/health", "", respond);
    driven.endTurn();
    expect(answers).toEqual([]);
    driven.tick(REQUEST_TIMEOUT_MS);
    expect(answers.map(({ status }) => status)).toEqual([503, 503]);
    expect(answers[1]?.body).toContain("RANGE ERROR:etcdserver: request timed out");
  });
});
