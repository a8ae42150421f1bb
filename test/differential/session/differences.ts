/** Where two runs of the session say different things, one by one, and why. */
import type { Said } from "./step.ts";

export interface Difference {
  readonly part: string;
  /** nameOf() the step. */
  readonly step: string;
  readonly why: string;
  /** What the second run says instead, as patterns of whole texts; what is left out is equal. */
  readonly instead: {
    readonly stdout?: RegExp;
    readonly stderr?: RegExp;
    readonly status?: Said["status"];
  };
}

const PERSON = "waits only where a person types, who could think again";

/** etcdctl 3.7 and ours, on whatever server. */
export const OF_CLIENTS: readonly Difference[] = [
  { part: "data", step: "del -- -dashed -w", why: PERSON, instead: { stderr: /^$/ } },
  {
    part: "command-lines",
    step: "get a --prefx",
    why: "tells which flag may have been meant",
    instead: { stderr: /^Error: unknown flag: --prefx; did you mean --prefix\?\n$/ },
  },
  {
    part: "command-lines",
    step: "get a --debug -w json",
    why: "etcdctl goes on with the inner state of its gRPC library",
    instead: { stderr: /^(ETCDCTL_[A-Z_]+=.*\n){22}$/ },
  },
];

const VERSION = "says its version";

/** etcd 3.4 and we, to etcdctl 3.4: we are 3.7. */
export const OF_OLD_SERVER: readonly Difference[] = [
  {
    part: "cluster",
    step: "member update {added} --peer-urls=http://127.0.0.1:18 -w json",
    why: "3.4 forgets in its answer that the member is a learner",
    instead: { stdout: /"peerURLs":\["http:\/\/127\.0\.0\.1:18"\],"isLearner":true\}/ },
  },
  ...["", " -w json", " -w fields", " -w table", " --cluster"].map((flags) => ({
    part: "cluster",
    step: `endpoint status${flags}`,
    why: VERSION,
    instead: { stdout: /\b3\.7\.1\b/ },
  })),
  {
    part: "cluster",
    step: "alarm list -w json",
    why: "3.4 answers without a header",
    instead: { stdout: /^\{"header":\{"cluster_id":\d+,"member_id":MEMBER,/ },
  },
];
