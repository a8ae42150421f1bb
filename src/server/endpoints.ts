/**
 * What the HTTP side of the ports answers: etcd's /health, /livez, /readyz and /version, the
 * /metrics of Prometheus, and our /health/live, /health/ready and /cluster. Paths and bodies are
 * etcd's (server/etcdserver/api/etcdhttp); only GET and HEAD. A path is compared as it came.
 */
import { AetherError } from "../base/errors.ts";
import type { Group } from "../node/group.ts";
import { AlarmType } from "../proto/gen/etcdserverpb.ts";
import { textOf } from "../rpc/errors.ts";
import { ETCD_VERSION } from "../base/version.ts";
import { ETCD_STORAGE_VERSION } from "../rpc/maintenance.ts";
import { WHOLE_CLUSTER } from "../state/alarms.ts";

export interface HttpAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  /** Of a 405: the methods there are (RFC 9110 §15.5.6). */
  readonly allow?: string;
}

export interface EndpointParts {
  readonly group: Group;
  readonly memberId: bigint;
  readonly metrics: () => string;
  /** What /cluster shows, as JSON. */
  readonly cluster: () => unknown;
}

type Respond = (answer: HttpAnswer) => void;

const TEXT = "text/plain; charset=utf-8";
const JSON_TYPE = "application/json";
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** A check by its name: `done` gets undefined when it passes, or what is wrong. */
type Check = (done: (failure: string | undefined) => void) => void;

const CHECKS = [
  "data_corruption",
  "serializable_read",
  "linearizable_read",
  "non_learner",
] as const;
type CheckName = (typeof CHECKS)[number];

/** The checks of each probe, as they are shown. */
const PROBES = { livez: ["serializable_read"], readyz: CHECKS } as const;

interface Probe {
  readonly name: keyof typeof PROBES;
  readonly checks: readonly CheckName[];
  /** The path names one check, which then cannot be excluded. */
  readonly single: boolean;
}

export class Endpoints {
  readonly #parts: EndpointParts;
  readonly #checks: Readonly<Record<CheckName, Check>>;

  constructor(parts: EndpointParts) {
    this.#parts = parts;
    const { group, memberId } = parts;
    this.#checks = {
      data_corruption: (done) => done(this.#isCorrupt ? "alarm activated: CORRUPT" : undefined),
      serializable_read: (done) => done(undefined),
      linearizable_read: (done) => {
        // A read would wait for a leader; whoever probes wants to know now.
        if (group.leader === 0n) done(textOf(new AetherError("no_leader")));
        else group.read((error) => done(error === undefined ? undefined : textOf(error)));
      },
      non_learner: (done) => {
        const isLearner = group.machine.member(memberId)?.isLearner === true;
        done(isLearner ? "not supported for learner" : undefined);
      },
    };
  }

  /** Of this member it is known, or of none who is right: others' alarms are not about us. */
  get #isCorrupt(): boolean {
    const { group, memberId } = this.#parts;
    const { CORRUPT } = AlarmType;
    const { machine } = group;
    return machine.hasAlarm(CORRUPT, memberId) || machine.hasAlarm(CORRUPT, WHOLE_CLUSTER);
  }

  /** Answers a GET, now or when a check has ended. Unknown paths are 404, other methods 405. */
  handle(method: string, path: string, query: string, respond: Respond): void {
    if (method !== "GET" && method !== "HEAD") {
      respond({ status: 405, type: TEXT, body: "Method Not Allowed\n", allow: "GET, HEAD" });
      return;
    }
    const parameters = new URLSearchParams(query);
    switch (path) {
      case "/version":
        respond({ status: 200, type: JSON_TYPE, body: versionBody() });
        break;
      case "/metrics":
        respond({ status: 200, type: METRICS_TYPE, body: this.#parts.metrics() });
        break;
      case "/cluster":
        respond({
          status: 200,
          type: JSON_TYPE,
          body: `${JSON.stringify(this.#parts.cluster())}\n`,
        });
        break;
      case "/health":
        this.#health(parameters, respond);
        break;
      default:
        this.#probe(path, parameters, respond);
    }
  }

  /** etcd's /health: linearizable unless asked otherwise. */
  #health(parameters: URLSearchParams, respond: Respond): void {
    const serializable = parameters.get("serializable") === "true";
    const { group } = this.#parts;
    if (this.#isCorrupt && !parameters.getAll("exclude").includes("CORRUPT")) {
      respond(healthAnswer("ALARM CORRUPT"));
      return;
    }
    if (!serializable && group.leader === 0n) {
      respond(healthAnswer("RAFT NO LEADER"));
      return;
    }
    const check = serializable ? "serializable_read" : "linearizable_read";
    this.#run(check, (failure) => {
      respond(healthAnswer(failure === undefined ? "" : `RANGE ERROR:${failure}`));
    });
  }

  /** /livez, /readyz and their sub paths, and our /health/live and /health/ready. */
  #probe(path: string, parameters: URLSearchParams, respond: Respond): void {
    const probe = PROBE_OF_PATH.get(path);
    if (probe === undefined) {
      respond({ status: 404, type: TEXT, body: "404 page not found\n" });
      return;
    }
    const excluded = new Set<string>(probe.single ? [] : parameters.getAll("exclude"));
    const names = probe.checks.filter((name) => !excluded.has(name));
    const verbose = parameters.has("verbose");
    this.#runAll(names, (results) => respond(probeAnswer(probe.name, results, verbose)));
  }

  #run(name: CheckName, done: (failure: string | undefined) => void): void {
    this.#checks[name](done);
  }

  /** Runs the checks at once; the results are in the order of their names. */
  #runAll(names: readonly CheckName[], done: (results: readonly CheckResult[]) => void): void {
    const failures: (string | undefined)[] = names.map(() => undefined);
    let waiting = names.length;
    const finish = (): void =>
      done(names.map((name, position) => ({ name, failure: failures[position] })));
    if (waiting === 0) finish();
    for (const [position, name] of names.entries()) {
      this.#run(name, (failure) => {
        failures[position] = failure;
        waiting--;
        if (waiting === 0) finish();
      });
    }
  }
}

interface CheckResult {
  readonly name: string;
  readonly failure: string | undefined;
}

/** Every path of a probe: a Map, since an object would also know "/constructor". */
const PROBE_OF_PATH: ReadonlyMap<string, Probe> = probePaths();

function probePaths(): Map<string, Probe> {
  const paths = new Map<string, Probe>();
  for (const name of ["livez", "readyz"] as const) {
    const checks: readonly CheckName[] = PROBES[name];
    paths.set(`/${name}`, { name, checks, single: false });
    for (const check of checks) {
      paths.set(`/${name}/${check}`, { name, checks: [check], single: true });
    }
  }
  paths.set("/health/live", paths.get("/livez") as Probe);
  paths.set("/health/ready", paths.get("/readyz") as Probe);
  return paths;
}

function versionBody(): string {
  const [major, minor] = ETCD_VERSION.split(".");
  return JSON.stringify({
    etcdserver: ETCD_VERSION,
    etcdcluster: `${major}.${minor}.0`,
    storage: ETCD_STORAGE_VERSION,
  });
}

function healthAnswer(reason: string): HttpAnswer {
  const health = reason === "" ? "true" : "false";
  const body = JSON.stringify({ health, reason });
  return { status: reason === "" ? 200 : 503, type: JSON_TYPE, body };
}

/** etcd's form: `ok`, or a line for each check when asked for or when one failed. */
function probeAnswer(probe: string, results: readonly CheckResult[], verbose: boolean): HttpAnswer {
  const failed = results.some(({ failure }) => failure !== undefined);
  if (!failed && !verbose) return { status: 200, type: TEXT, body: "ok\n" };
  const lines = results.map(({ name, failure }) =>
    failure === undefined ? `[+]${name} ok` : `[-]${name} failed: ${failure}`,
  );
  lines.push(failed ? `${probe} check failed` : "ok");
  return { status: failed ? 503 : 200, type: TEXT, body: `${lines.join("\n")}\n` };
}
