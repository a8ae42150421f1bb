/**
 * Changes of three members, refused and not, with the check that keeps the quorum
 * (--strict-reconfig-check): one story, told by Aether and by etcd 3.7.1 with the same answers.
 */
import { describe, expect, test } from "bun:test";
import type { ServiceError } from "@grpc/grpc-js";
import { type Cluster, withCluster } from "../support/cluster.ts";
import { absence, witness } from "../support/etcd-witness.ts";
import { GrpcJsClient } from "../support/grpc-js.ts";
import type { Member } from "../support/member.ts";
import type { ClusterKind } from "../support/member-command.ts";
import { until } from "../support/processes.ts";

/** etcd changes nothing before all members were connected for five seconds. */
const TEST_MS_MAX = 90_000;
const UNHEALTHY = "14 etcdserver: unhealthy cluster";
/** Nobody ever starts there. */
const STRANGERS = [1, 2, 3, 4].map((port) => `http://127.0.0.1:${port}`) as [
  string,
  string,
  string,
  string,
];

class Story {
  readonly answers: string[] = [];
  readonly #client: GrpcJsClient;

  constructor(at: Member) {
    this.#client = new GrpcJsClient(at.endpoint);
  }

  /** What came of a call: "OK", or the code and the text. */
  async ask(method: string, request: object): Promise<string> {
    try {
      await this.#client.unary(`etcdserverpb.${method}`, request);
      return "OK";
    } catch (error) {
      const { code, details } = error as ServiceError;
      return `${code} ${details}`;
    }
  }

  async tell(what: string, method: string, request: object): Promise<void> {
    this.answers.push(`${what}: ${await this.ask(method, request)}`);
  }

  /** As tell(), once the members know of each other how they are. */
  async tellHealthy(what: string, method: string, request: object): Promise<void> {
    let answer = UNHEALTHY;
    await until(what, async () => {
      answer = await this.ask(method, request);
      return answer !== UNHEALTHY;
    });
    this.answers.push(`${what}: ${answer}`);
  }

  close(): void {
    this.#client.close();
  }
}

async function idOf(cluster: Cluster, peerUrl: string): Promise<string> {
  const records = await cluster.records();
  const found = records.find(({ peerURLs }) => peerURLs.includes(peerUrl));
  if (found === undefined) throw new Error(`nobody is at ${peerUrl}`);
  return found.ID.toString();
}

async function tell(cluster: Cluster): Promise<string[]> {
  const leader = await cluster.leader();
  const [second, third] = (await cluster.followers()) as [Member, Member];
  const ids = {
    leader: await idOf(cluster, leader.peerUrl),
    second: await idOf(cluster, second.peerUrl),
    third: await idOf(cluster, third.peerUrl),
  };
  const [story, follower] = [new Story(leader), new Story(second)];
  const at = (url: string) => ({ peerURLs: [url] });
  const remove = async (what: string, url: string): Promise<void> =>
    await story.tell(what, "Cluster/MemberRemove", { ID: await idOf(cluster, url) });

  await follower.tell("move at a follower", "Maintenance/MoveLeader", { targetID: ids.third });
  story.answers.push(...follower.answers);
  await story.tell("move to nobody", "Maintenance/MoveLeader", { targetID: 5 });
  await story.tell("remove nobody", "Cluster/MemberRemove", { ID: 5 });
  await story.tell("promote a voter", "Cluster/MemberPromote", { ID: ids.leader });
  await story.tell("update nobody", "Cluster/MemberUpdate", { ID: 5, ...at(STRANGERS[0]) });
  const taken = { ID: ids.second, ...at(third.peerUrl) };
  await story.tell("update to another's URL", "Cluster/MemberUpdate", taken);
  await story.tellHealthy("add another's URL", "Cluster/MemberAdd", at(third.peerUrl));
  await story.tell("add a fourth", "Cluster/MemberAdd", at(STRANGERS[0]));
  await story.tell("add a fifth", "Cluster/MemberAdd", at(STRANGERS[1]));
  await story.tell("add a sixth", "Cluster/MemberAdd", at(STRANGERS[2]));
  await remove("remove the fifth", STRANGERS[1]);
  await remove("remove the fourth", STRANGERS[0]);
  await story.tell("add a learner", "Cluster/MemberAdd", { ...at(STRANGERS[2]), isLearner: true });
  const learner = { ID: await idOf(cluster, STRANGERS[2]) };
  await story.tell("promote it", "Cluster/MemberPromote", learner);
  await story.tell("remove it", "Cluster/MemberRemove", learner);
  await story.tell("remove it again", "Cluster/MemberRemove", learner);

  await third.kill();
  // A request that is refused either way shows when the others have noticed.
  await until("the third is missed", async () => {
    return (await story.ask("Cluster/MemberAdd", at(leader.peerUrl))) === UNHEALTHY;
  });
  await story.tell("add one while one is down", "Cluster/MemberAdd", at(STRANGERS[3]));
  await story.tell("remove one that is up", "Cluster/MemberRemove", { ID: ids.second });
  await story.tell("remove the one that is down", "Cluster/MemberRemove", { ID: ids.third });
  await story.tell("add one to two", "Cluster/MemberAdd", at(STRANGERS[3]));
  await story.tell("remove one of two that run", "Cluster/MemberRemove", { ID: ids.second });
  story.close();
  follower.close();
  return story.answers;
}

const TOO_FEW = "2 etcdserver: re-configuration failed due to not enough started members";

const TOLD = [
  "move at a follower: 9 etcdserver: not leader",
  "move to nobody: 9 etcdserver: bad leader transferee",
  "remove nobody: 5 etcdserver: member not found",
  "promote a voter: 9 etcdserver: can only promote a learner member",
  "update nobody: 5 etcdserver: member not found",
  "update to another's URL: 9 etcdserver: Peer URLs already exists",
  "add another's URL: 9 etcdserver: Peer URLs already exists",
  "add a fourth: OK",
  "add a fifth: OK",
  `add a sixth: ${TOO_FEW}`,
  "remove the fifth: OK",
  "remove the fourth: OK",
  "add a learner: OK",
  "promote it: 9 etcdserver: can only promote a learner member which is in sync with leader",
  "remove it: OK",
  "remove it again: 5 etcdserver: member not found",
  `add one while one is down: ${UNHEALTHY}`,
  `remove one that is up: ${UNHEALTHY}`,
  "remove the one that is down: OK",
  "add one to two: OK",
  `remove one of two that run: ${TOO_FEW}`,
];

if (witness === undefined) console.warn(`SKIPPED, three members of etcd 3.7: ${absence()}`);

describe("changes of three members", () => {
  const told = (kind: ClusterKind, executable?: string): Promise<string[]> => {
    const program = executable === undefined ? {} : { executable };
    return withCluster({ kind, size: 3, strict: true, ...program }, tell);
  };
  test("by Aether", async () => expect(await told("aether")).toEqual(TOLD), TEST_MS_MAX);
  test.skipIf(witness === undefined)(
    "by etcd 3.7",
    async () => expect(await told("etcd", witness?.etcd)).toEqual(TOLD),
    TEST_MS_MAX,
  );
});
