/**
 * What the HTTP side of the ports answers: etcd's /health, /livez, /readyz and /version, the
 * /metrics of Prometheus, and our /health/live, /health/ready and /cluster. Paths, bodies and
 * fields are etcd's (server/etcdserver/api/etcdhttp), which knows no HEAD. A path is compared as
 * it came. The checks ask the group and no method, so that no user is needed for them.
 */
import { AetherError } from "../base/errors.ts";
import { ETCD_VERSION } from "../base/version.ts";
import type { Group } from "../node/group.ts";
import { AlarmType } from "../proto/gen/etcdserverpb.ts";
import { textOf } from "../rpc/errors.ts";
import { WHOLE_CLUSTER } from "../state/alarms.ts";

export interface HttpAnswer {
  readonly status: number;
  readonly fields: readonly string[];
  readonly body: string;
}

/** How often /health and the checks of the probes said what, for metrics. */
export interface HealthCounts {
  success: number;
  failures: number;
  /** By probe, check and outcome: "readyz non_learner success". */
  readonly checks: Map<string, number>;
}

export interface EndpointParts {
  readonly group: Group;
  readonly memberId: bigint;
  /** Calls back with the page of /metrics, now or later. */
  readonly metrics: (respond: (page: string) => void) => void;
  /** What the members have agreed on; undefined: nothing yet. */
  readonly clusterVersion: () => string | undefined;
  /** What /cluster shows, as JSON. */
  readonly cluster: () => unknown;
}

type Respond = (answer: HttpAnswer) => void;

const TEXT: readonly string[] = ["content-type", "text/plain; charset=utf-8"];
/** Of texts that no browser shall take for something else (Go's http.Error, etcd's probes). */
const PLAIN: readonly string[] = [...TEXT, "x-content-type-options", "nosniff"];
const JSON_TYPE: readonly string[] = ["content-type", "application/json"];
const METRICS_TYPE: readonly string[] = [
  "content-type",
  "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
];

export const NOT_FOUND: HttpAnswer = { status: 404, fields: PLAIN, body: "404 page not found\n" };

/** For a path that is there, but not for this method (RFC 9110 §15.5.6). */
export function notAllowed(allowed: string): HttpAnswer {
  const fields = [...PLAIN, "allow", allowed];
  return { status: 405, fields, body: "Method Not Allowed\n" };
}

/** For a page that is there, but not for who asks. */
export function forbidden(why: string): HttpAnswer {
  return { status: 403, fields: PLAIN, body: `${why}\n` };
}

/** The paths that the addresses for observers have; those for clients have /version, too. */
const OF_CLIENTS = "/version";

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
  readonly counts: HealthCounts = { success: 0, failures: 0, checks: new Map() };
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

  /** Answers, now or when a check has ended. False: there is no such path. */
  handle(method: string, path: string, query: string, respond: Respond): boolean {
    const { metrics, cluster } = this.#parts;
    const probe = PROBE_OF_PATH.get(path);
    if (path === "/metrics") {
      metrics((body) => respond({ status: 200, fields: METRICS_TYPE, body }));
    } else if (path === "/cluster") {
      const body = `${JSON.stringify(cluster())}\n`;
      respond({ status: 200, fields: JSON_TYPE, body });
    } else if (path !== "/health" && path !== OF_CLIENTS && probe === undefined) return false;
    else if (method !== "GET") respond(notAllowed("GET"));
    else if (path === "/health") this.#health(new URLSearchParams(query), respond);
    else if (path === OF_CLIENTS) respond(this.version());
    else if (probe !== undefined) this.#probe(probe, new URLSearchParams(query), respond);
    return true;
  }

  /** The same for the addresses of observers. */
  handleObserver(method: string, path: string, query: string, respond: Respond): boolean {
    return path !== OF_CLIENTS && this.handle(method, path, query, respond);
  }

  /** What /version says, here and at the addresses for members. */
  version(): HttpAnswer {
    const body = JSON.stringify({
      etcdserver: ETCD_VERSION,
      etcdcluster: this.#parts.clusterVersion() ?? "not_decided",
      storage: this.#parts.clusterVersion() ?? "unknown", // it follows the cluster's
    });
    return { status: 200, fields: JSON_TYPE, body };
  }

  /** etcd's /health: linearizable unless asked otherwise. */
  #health(parameters: URLSearchParams, respond: Respond): void {
    const serializable = parameters.get("serializable") === "true";
    const { group } = this.#parts;
    const reason = this.#alarm(new Set(parameters.getAll("exclude")));
    if (reason !== undefined) this.#respondHealth(reason, respond);
    else if (!serializable && group.leader === 0n) this.#respondHealth("RAFT NO LEADER", respond);
    else {
      const check = serializable ? "serializable_read" : "linearizable_read";
      this.#run(check, (failure) => {
        this.#respondHealth(failure === undefined ? "" : `RANGE ERROR:${failure}`, respond);
      });
    }
  }

  /** The first alarm that concerns this member: everybody's NOSPACE, its own CORRUPT. */
  #alarm(excluded: ReadonlySet<string>): string | undefined {
    const noSpace = this.#parts.group.machine.hasAlarm(AlarmType.NOSPACE);
    if (noSpace && !excluded.has("NOSPACE")) return "ALARM NOSPACE";
    return this.#isCorrupt && !excluded.has("CORRUPT") ? "ALARM CORRUPT" : undefined;
  }

  #respondHealth(reason: string, respond: Respond): void {
    const isHealthy = reason === "";
    if (isHealthy) this.counts.success++;
    else this.counts.failures++;
    const body = JSON.stringify({ health: String(isHealthy), reason });
    if (isHealthy) respond({ status: 200, fields: TEXT, body });
    else respond({ status: 503, fields: PLAIN, body: `${body}\n` });
  }

  /** /livez, /readyz and their sub paths, and our /health/live and /health/ready. */
  #probe(probe: Probe, parameters: URLSearchParams, respond: Respond): void {
    const excluded = new Set<string>(probe.single ? [] : parameters.getAll("exclude"));
    const names = probe.checks.filter((name) => !excluded.has(name));
    const verbose = parameters.has("verbose");
    this.#runAll(names, (results) => {
      for (const { name, failure } of results) {
        const outcome = failure === undefined ? "success" : "error";
        const { checks } = this.counts;
        const key = `${probe.name} ${name} ${outcome}`;
        checks.set(key, (checks.get(key) ?? 0) + 1);
      }
      respond(probeAnswer(results, verbose));
    });
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

/** etcd's form: `ok`, or a line for each check when asked for or when one failed. */
function probeAnswer(results: readonly CheckResult[], verbose: boolean): HttpAnswer {
  const lines = results.map(({ name, failure }) =>
    failure === undefined ? `[+]${name} ok\n` : `[-]${name} failed: ${failure}\n`,
  );
  const failed = results.some(({ failure }) => failure !== undefined);
  if (failed) return { status: 503, fields: PLAIN, body: `${lines.join("")}\n` };
  return { status: 200, fields: PLAIN, body: `${verbose ? lines.join("") : ""}ok\n` };
}
