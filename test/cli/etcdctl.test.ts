/**
 * Our client beside etcdctl 3.4.23, command by command: standard output, exit status and errors
 * must be equal, byte for byte, except for the rows of DIFFERENCES.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { AlarmType } from "../../src/proto/gen/etcdserverpb.ts";
import { ETCD, isInstalled } from "../support/processes.ts";
import { ETCDCTL, Pair, type Said, type Step } from "./etcdctl-runner.ts";

const installed = (await isInstalled(ETCDCTL)) && (await isInstalled(ETCD));

/** `get --prefix a -w json`; quotes as in a shell, without escapes. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, bare]) => double ?? single ?? bare ?? "",
  );
}

const sh = (line: string, more: Omit<Step, "words"> = {}): Step => ({
  words: words(line),
  ...more,
});
const read = (line: string): Step => sh(line, { sameServer: true });
const txn = (stdin: string, flags = ""): Step => sh(`txn ${flags}`, { stdin });

/** In order: later steps see what earlier ones wrote. */
const EQUAL: readonly Step[] = [
  // put
  sh("put foo bar"),
  sh("put foo bar2 --prev-kv"),
  sh("put foo bar3 --prev-kv -w json"),
  sh("put foo bar4 --prev-kv -w fields"),
  sh("put k", { stdin: "from\nstandard input\n" }),
  sh("put k"),
  sh("put"),
  sh("put -- -dashed -value"),
  sh("put -- key -v"),
  sh("put ä ünïcode"),
  sh("put a b c"),
  sh("put '' x"),
  sh("put foo x --ignore-value"),
  sh("put foo --ignore-value"),
  sh("put nokey --ignore-value"),
  sh("put foo x --ignore-lease"),
  sh("put foo x --lease=zz"),
  sh("put foo x --lease=123"),
  sh("put foo x --lease 7fffffffffffffff1"),
  sh("--write-out fields put k2 v2"),
  sh("put bytes", { stdin: '\u0000\u0001\n\t"\\\u007f\u00ff€𝄞' }),
  // get
  sh("get foo"),
  sh("get nothing"),
  sh("get -w=json foo"),
  sh("get foo -wfields"),
  read("get foo -w protobuf"),
  sh("get bytes"),
  sh("get bytes -w fields"),
  sh("get bytes -w json"),
  sh("get bytes --hex"),
  sh("get ä -w fields"),
  sh("get ä --hex"),
  sh("get -- -dashed"),
  sh("get '' --prefix --keys-only"),
  sh("get '' --from-key --print-value-only"),
  sh("get '' --prefix --limit=2 -w fields"),
  sh("get '' --prefix --limit=2 -w json"),
  sh("get '' --prefix --order=descend --sort-by=MODIFY"),
  sh("get '' --prefix --order=ASCEND --sort-by=value --limit=3"),
  sh("get '' --prefix --sort-by=VERSION --order=DESCEND --keys-only"),
  sh("get '' --prefix --sort-by=CREATE --order=ASCEND --keys-only"),
  sh("get a g"),
  sh("get a g --consistency=s --keys-only"),
  sh("get foo --rev=2"),
  sh("get foo --rev=0x3"),
  sh("get foo --rev=1000"),
  sh("get foo --prefix=false --keys-only=1"),
  sh("get"),
  sh("get ''"),
  sh("get a b --prefix"),
  sh("get foo --prefix --from-key"),
  sh("get foo --order=UP"),
  sh("get foo --sort-by=SIZE"),
  sh("get foo --consistency=q"),
  sh("get foo --print-value-only -w json"),
  sh("get foo -w table"),
  sh("get foo -w xml"),
  sh("--hex get foo"),
  sh("get foo --endpoints={endpoint}"),
  sh("get foo --endpoints={endpoint} --endpoints={endpoint}"),
  sh("get foo --endpoints=http://{endpoint}"),
  sh("get foo --command-timeout=1m0.5s"),
  sh("get foo", { environment: { ETCDCTL_WRITE_OUT: "json" } }),
  sh("get foo", { environment: { ETCDCTL_HEX: "true" } }),
  // del
  sh("del nothing"),
  sh("del k2 --prev-kv"),
  sh("del k"),
  sh("del bytes --prev-kv -w json"),
  sh("del a b c"),
  sh("del"),
  sh("del x --prefix --from-key"),
  sh("del -- -dashed -w"),
  sh("del key -w fields"),
  // txn
  txn("\n\n\n"),
  txn('mod("t") = "0"\n\nput t "b c"\nget t\ndel zz\n\n\n'),
  txn('mod("t") = "0"\n\nput t never\n\nget t\n\n'),
  txn('mod("t") > "0"\nval("t") = "b c"\n\nput t "x\\ny"\nget t --limit=1\n\n\n', "-i"),
  txn('create("t") != "5"\nversion("t") < "100"\nver("t") > "0"\nc("t") > "1"\n\nget t\n\n\n'),
  txn('m("t") = "1"\n\n\nput t2 1 --prev-kv\nget t2\ndel t --prev-kv\n\n', "-w fields"),
  txn('\nput "\\x61b\\"" a\\"b\nget "ab\\""\nput à à\nget à\n\n\n'),
  txn("\nput t4 b"),
  txn("\nput t4\n\n\n"),
  txn("\nput t4 b\nput t4 c\n\n\n"),
  txn("\nput --lease=5 t4 b\n\n\n"),
  txn("\nget t4 --consistency=z\n\n\n"),
  sh("txn stray"),
  // leases
  sh("lease grant 1000"),
  sh("put leased 'a b' --lease={lease}"),
  sh("get leased -w json"),
  sh("lease timetolive {lease}"),
  sh("lease timetolive {lease} --keys"),
  sh("lease timetolive {lease} --keys -w json"),
  sh("lease timetolive {lease} -w json"),
  sh("lease timetolive {lease} --keys -w fields"),
  sh("lease list"),
  sh("lease list -w json"),
  sh("lease list -w fields"),
  sh("lease keep-alive {lease} --once"),
  sh("lease keep-alive {lease} --once -w json"),
  sh("lease keep-alive {lease} --once -w fields"),
  sh("lease keep-alive {lease}", { lines: 1 }),
  sh("lease revoke {lease}"),
  sh("lease revoke {lease}"),
  sh("lease list -w json"),
  sh("lease grant 1000 -w json"),
  sh("lease revoke {lease} -w json"),
  sh("lease grant 1000"),
  sh("lease revoke {lease} -w fields"),
  sh("lease grant 0"),
  sh("lease grant -- -7"),
  sh("lease grant 99999999999"),
  sh("lease grant x"),
  sh("lease grant"),
  sh("lease grant 5 6"),
  sh("lease revoke zz"),
  sh("lease revoke"),
  sh("lease revoke -- -5"),
  sh("lease timetolive"),
  sh("lease timetolive 77"),
  sh("lease timetolive -- -5"),
  sh("lease timetolive 77 -w json"),
  sh("lease timetolive 77 -w fields"),
  sh("lease timetolive 77 -w table"),
  sh("lease timetolive 7fffffffffffffff1"),
  sh("lease keep-alive"),
  sh("lease keep-alive 1234 --once"),
  sh("lease keep-alive 1234"),
  // watch: history, then an interruption
  sh("watch foo --rev=2", { lines: 6 }),
  sh("watch foo --rev=3 --prev-kv", { lines: 5 }),
  sh("watch k --rev=2", { lines: 6 }),
  sh("watch --prefix '' --rev=2", { lines: 30 }),
  sh("watch a z --rev=2 -w fields", { lines: 40 }),
  sh("watch foo --rev=4 -w protobuf", { lines: 3, sameServer: true }),
  sh("watch --rev=2", { lines: 6, environment: { ETCDCTL_WATCH_KEY: "foo" } }),
  sh("watch --rev=2", {
    lines: 6,
    environment: { ETCDCTL_WATCH_KEY: "foo", ETCDCTL_WATCH_RANGE_END: "g" },
  }),
  sh("watch"),
  sh("watch foo --"),
  sh("watch a b --prefix"),
  sh("watch foo", { environment: { ETCDCTL_WATCH_KEY: "wk" } }),
  sh("watch", { environment: { ETCDCTL_WATCH_RANGE_END: "wk" } }),
  // compaction
  sh("compaction"),
  sh("compaction x"),
  sh("compaction 3"),
  sh("compact 3"),
  sh("compaction 4 --physical -w json"),
  sh("compaction 10000"),
  sh("get foo --rev=2"),
  sh("watch foo --rev=1"),
  // members, endpoints
  sh("member list"),
  sh("member l -w json"),
  read("member list -w protobuf"),
  sh("member add c --learner --peer-urls=http://127.0.0.1:9 -w json"),
  sh("member list"),
  sh("member list -w json"),
  sh("member add d --learner --peer-urls=http://127.0.0.1:10"),
  sh("member add d --peer-urls=http://127.0.0.1:9"),
  sh("member promote {added}"),
  sh("member promote {member}"),
  sh("member promote 5"),
  sh("member promote 5 -w json"),
  sh("member promote xx"),
  sh("member promote"),
  sh("member update {added} --peer-urls=http://127.0.0.1:11"),
  sh("member update {added} --peer-urls=http://127.0.0.1:12 -w json"),
  sh("member update 5 --peer-urls=http://127.0.0.1:13"),
  sh("member update {added}"),
  sh("member update zz"),
  sh("member update 5 --peer-urls=http://127.0.0.1"),
  sh("member list"),
  sh("member remove {added}"),
  sh("member remove {added}"),
  sh("member remove 5"),
  sh("member remove zz"),
  sh("member remove 1ffffffffffffffff"),
  sh("member remove 1 2"),
  sh("member remove"),
  sh("member add d --learner --peer-urls=http://127.0.0.1:14,http://127.0.0.1:15 -w json"),
  sh("member remove {added} -w json"),
  sh("member add"),
  sh("member add a b"),
  sh("member add a http://x HTTPS://y"),
  sh("member add a"),
  sh("member add a --peer-urls=nonsense"),
  sh("member add a --peer-urls=ftp://127.0.0.1:1"),
  sh("member add a --peer-urls=http://127.0.0.1"),
  sh("member add a --peer-urls=http://127.0.0.1:1/x"),
  sh("member add a --peer-urls=http://127.0.0.1:1,"),
  sh("move-leader"),
  sh("move-leader 1 2"),
  sh("move-leader zz"),
  sh("move-leader 5"),
  sh("move-leader {member}"),
  sh("move-leader {member} -w json"),
  sh("move-leader {member} -w fields"),
  sh("alarm list"),
  sh("alarm list -w json"),
  sh("alarm list -w table"),
  sh("alarm list x"),
  sh("alarm disarm"),
  sh("alarm disarm -w json"),
  sh("alarm disarm x"),
  sh("endpoint hashkv -w xml"),
  sh("endpoint health -w protobuf"),
  sh("endpoint health -w json"),
  sh("endpoint health -w fields"),
  sh("endpoint health --cluster -w json"),
  sh("put silent v -w table"),
  // nobody there
  sh("get foo --endpoints=127.0.0.1:1 --command-timeout=100ms"),
  sh("lease grant 5 --endpoints=127.0.0.1:1 --command-timeout=100ms"),
  sh("endpoint health --endpoints=127.0.0.1:1 --command-timeout=100ms"),
  sh("endpoint status --endpoints=127.0.0.1:1 --command-timeout=100ms"),
  sh("endpoint hashkv --endpoints=127.0.0.1:1 --command-timeout=100ms"),
  sh("endpoint health --cluster --endpoints=127.0.0.1:1 --command-timeout=100ms"),
];

interface Difference extends Step {
  readonly why: string;
  /** What ours says instead; what is left out is equal. */
  readonly ours: Partial<Said>;
}

/** After an alarm was raised for each server. */
const ALARMED: readonly Step[] = [
  sh("alarm list"),
  sh("alarm list -w json"),
  sh("put a b"),
  sh("alarm disarm"),
  sh("alarm list"),
  sh("put a b"),
];

/** A server more that has a vote and is not there: nothing is decided from here on. */
const LAST: Step = sh("member add e --peer-urls=http://127.0.0.1:16");

const LATER = "etcd changed it after 3.4";
const HELP = "etcdctl 3.4 prints all its help to standard output";
const CLEAR = "says what was expected, or what is wrong";
const EARLY = "put -w table writes nothing, since nothing could be said of it";
const OWN = "this program has its own name and version";

const DIFFERENCES: readonly Difference[] = [
  {
    ...txn('value("t") = "nothing"\n\n\nput t2 1 --prev-kv\nget t2\n\n', "-w json"),
    why: `${LATER}: members of a oneof under their proto names`,
    ours: {
      stdout:
        '{"header":{"cluster_id":CLUSTER,"member_id":MEMBER,"revision":26,"raft_term":2},' +
        '"responses":[{"Response":{"response_put":{"header":{"revision":26},"prev_kv":' +
        '{"key":"dDI=","create_revision":22,"mod_revision":22,"version":1,"value":"MQ=="}}}},' +
        '{"Response":{"response_range":{"header":{"revision":26},"kvs":[{"key":"dDI=",' +
        '"create_revision":22,"mod_revision":26,"version":2,"value":"MQ=="}],"count":1}}}]}\n',
    },
  },
  {
    ...sh("watch t2 --rev=26 -w json", { lines: 1 }),
    why: `${LATER}: the reason of a cancellation`,
    ours: {
      stdout:
        '{"Header":{"cluster_id":CLUSTER,"member_id":MEMBER,"revision":26,"raft_term":2},' +
        '"Events":[{"kv":{"key":"dDI=","create_revision":22,"mod_revision":26,"version":2,' +
        '"value":"MQ=="}}],"CompactRevision":0,"Canceled":false,"Created":false,' +
        '"CancelReason":""}',
    },
  },
  {
    ...sh("watch foo --rev=1 -w json"),
    why: `${LATER}: the reason of a cancellation`,
    ours: {
      stdout:
        '{"Header":{"cluster_id":CLUSTER,"member_id":MEMBER,"raft_term":2},"Events":null,' +
        '"CompactRevision":4,"Canceled":true,"Created":false,"CancelReason":""}\n',
    },
  },
  {
    ...sh("member list -w json --hex"),
    why: `${LATER}: --hex shows ids in hexadecimal`,
    ours: {
      stdout:
        '{"header":{"cluster_id":"CLUSTER","member_id":"MEMBER","raft_term":2},"members":' +
        '[{"ID":"MEMBER","name":"test","peerURLs":["PEER"],"clientURLs":["http://ENDPOINT"]}]}\n',
    },
  },
  {
    ...sh("member list -w fields"),
    why: `${LATER}: no revision where there is none`,
    ours: {
      stdout: expect.stringMatching(/^"ClusterID" : CLUSTER\n"MemberID" : MEMBER\n"RaftTerm"/),
    },
  },
  {
    ...sh("member list -w table"),
    why: `${LATER}: tables are drawn with lines`,
    ours: { stdout: expect.stringContaining(" IS LEARNER ") },
  },
  {
    ...sh("endpoint health --hex"),
    why: `${LATER}: the healthy are told on standard output`,
    ours: {
      stdout: "ENDPOINT is healthy: successfully committed proposal: took = TIME\n",
      stderr: "",
    },
  },
  {
    ...sh("endpoint hashkv --rev=5"),
    why: `${LATER}: a column with the revision that was hashed`,
    ours: { stdout: expect.stringMatching(/^ENDPOINT, \d+, 0\n$/) },
  },
  {
    ...sh("endpoint hashkv -w table"),
    why: `${LATER}: a column with the revision that was hashed`,
    ours: { stdout: expect.stringContaining(" HASH REVISION ") },
  },
  {
    ...sh("endpoint hashkv -w fields"),
    why: `${LATER}: a field with the revision that was hashed`,
    ours: { stdout: expect.stringMatching(/\n"Hash" : \d+\n"HashRevision" : 0\n\n$/) },
  },
  {
    ...sh("endpoint status"),
    why: `${LATER}: columns for storage version, size in use, quota and downgrades`,
    ours: {
      stdout: expect.stringMatching(
        /^ENDPOINT, MEMBER, 3\.4\.\d+, , (\d+ kB, ){2}\d+%, 0 B, true, false, [\d, ]+, false\n$/,
      ),
    },
  },
  {
    ...sh("endpoint status --cluster -w table"),
    why: `${LATER}: columns for storage version, size in use, quota and downgrades`,
    ours: { stdout: expect.stringContaining(" PERCENTAGE NOT IN USE ") },
  },
  {
    ...sh("endpoint status -w fields"),
    why: `${LATER}: fields for storage version, size in use, quota and downgrades`,
    ours: { stdout: expect.stringContaining('\n"StorageVersion" : ""\n') },
  },
  {
    ...sh("member add l --learner --peer-urls=http://127.0.0.1:17"),
    why: `${LATER}: says that it is a learner`,
    ours: {
      stdout:
        "Member ADDED added as learner to cluster CLUSTER\n\n" +
        'ETCD_NAME="l"\nETCD_INITIAL_CLUSTER="l=http://127.0.0.1:17,test=PEER"\n' +
        'ETCD_INITIAL_ADVERTISE_PEER_URLS="http://127.0.0.1:17"\n' +
        'ETCD_INITIAL_CLUSTER_STATE="existing"\n',
    },
  },
  {
    ...sh("alarm list -w fields"),
    why: "etcdctl panics without a header",
    ours: {
      stdout: '"ClusterID" : 0\n"MemberID" : 0\n"RaftTerm" : 0\n',
      stderr: "",
      status: 0,
    },
  },
  {
    ...sh("lease list --endpoints=127.0.0.1:1 --command-timeout=100ms --bogus-only-ours=false"),
    why: HELP,
    ours: { stdout: "", stderr: "Error: unknown flag: --bogus-only-ours\n" },
  },
  {
    ...sh("get foo --prefx"),
    why: HELP,
    ours: {
      stdout: "",
      stderr: "Error: unknown flag: --prefx; did you mean --prefix?\n",
    },
  },
  {
    ...sh("get foo -k"),
    why: HELP,
    ours: { stdout: "", stderr: "Error: unknown shorthand flag: 'k' in -k\n" },
  },
  {
    ...sh("get foo --limit"),
    why: HELP,
    ours: { stdout: "", stderr: "Error: flag needs an argument: --limit\n" },
  },
  {
    ...sh("get foo --limit=x"),
    why: HELP,
    ours: {
      stdout: "",
      stderr:
        'Error: invalid argument "x" for "--limit" flag: strconv.ParseInt: parsing "x": ' +
        "invalid syntax\n",
    },
  },
  {
    ...sh("gte foo"),
    why: HELP,
    ours: {
      stdout: "",
      stderr: 'Error: unknown command "gte" for "aether ctl"\nDid you mean this?\n\tget\n',
    },
  },
  {
    ...sh("lease foo"),
    why: "etcdctl prints help and ends with 0",
    ours: {
      stdout: "",
      stderr: 'Error: unknown command "foo" for "aether ctl lease"\n',
      status: 1,
    },
  },
  {
    ...sh("get silent --rev=0"),
    why: EARLY,
    ours: { stdout: "" },
  },
  {
    ...txn('mod(t) > "0"\n'),
    why: CLEAR,
    ours: {
      stderr: 'Error: malformed comparison: mod(t) > "0"; expected target("key") op "value"\n',
    },
  },
  {
    ...txn('mod("t") > "x"\n'),
    why: CLEAR,
    ours: {
      stderr:
        'Error: invalid txn compare request: mod("t") > "x" (strconv.ParseInt: parsing "x": ' +
        "invalid syntax)\n",
    },
  },
  {
    ...txn('mod("t") >> "1"\n'),
    why: `${CLEAR}; etcdctl panics`,
    ours: {
      stderr: 'Error: malformed comparison: mod("t") >> "1" (unknown operator >>)\n',
      status: 3,
    },
  },
  {
    ...txn('lease("t2") = "0"\n\nget t2\n\n\n'),
    why: `${LATER}: 3.4 panics`,
    ours: { stdout: "SUCCESS\n\nt2\n1\n", stderr: "", status: 0 },
  },
  {
    ...txn("\nput t2 'single quoted'\nget t2\n\n\n"),
    why: `${LATER}: 3.4 cuts single quoted words`,
    ours: { stdout: "SUCCESS\n\nOK\n\nt2\nsingle quoted\n" },
  },
  {
    ...sh("version"),
    why: OWN,
    ours: { stdout: "aetherctl version: 0.1.0\nAPI version: 3.7\n" },
  },
];

describe.skipIf(!installed)("etcdctl 3.4", () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.start();
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  const equal = async (step: Step): Promise<void> => {
    const [theirs, ours] = await Promise.all([pair.etcdctl(step), pair.ctl(step)]);
    expect(ours).toEqual(theirs);
  };

  for (const step of EQUAL) {
    test(step.words.join(" "), () => equal(step));
  }

  for (const { why, ours: instead, ...step } of DIFFERENCES) {
    test(`${step.words.join(" ")}: ${why}`, async () => {
      const [theirs, ours] = await Promise.all([pair.etcdctl(step), pair.ctl(step)]);
      expect(ours).toEqual({ ...theirs, ...instead });
      expect(ours).not.toEqual(theirs);
    });
  }

  describe("with an alarm", () => {
    beforeAll(() => pair.raise(AlarmType.NOSPACE));
    for (const [position, step] of ALARMED.entries()) {
      test(`${position}: ${step.words.join(" ")}`, () => equal(step));
    }

    test(`endpoint health: ${LATER}: who has an alarm is not healthy`, async () => {
      await pair.raise(AlarmType.NOSPACE);
      const step = sh("endpoint health -w json");
      const [theirs, ours] = await Promise.all([pair.etcdctl(step), pair.ctl(step)]);
      expect(theirs).toMatchObject({ status: 0, stderr: "" });
      expect(ours).toEqual({
        stdout:
          '[{"endpoint":"ENDPOINT","health":false,"took":"TIME",' +
          '"error":"Active Alarm(s): NOSPACE "}]\n',
        stderr: "Error: unhealthy cluster\n",
        status: 1,
      });
    });
  });

  test(`at last: ${LAST.words.join(" ")}`, () => equal(LAST));
});
