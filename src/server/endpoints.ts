/**
 * What the HTTP side of the ports answers: etcd's /health, /livez, /readyz and /version, Prometheus'
 * /metrics, and our /health/live, /health/ready and /cluster. The paths and bodies are etcd's
 * (server/etcdserver/api/etcdhttp); only GET and HEAD.
 */
import type { Group } from "../node/group.ts";
import { ETCD_STORAGE_VERSION, ETCD_VERSION } from "../rpc/cluster.ts";
import { textOf } from "../rpc/errors.ts";

export interface HttpAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export interface EndpointParts {
  readonly group: Group;
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

export class Endpoints {
  readonly #parts: EndpointParts;
  readonly #checks: Readonly<Record<string, Check>>;

  constructor(parts: EndpointParts) {
    this.#parts = parts;
    const { group } = parts;
    this.#checks = {
      data_corruption: (done) => done(undefined),
      serializable_read: (done) => done(undefined),
      linearizable_read: (done) => {
        group.read((error) => done(error === undefined ? undefined : textOf(error)));
      },
      non_learner: (done) => done(undefined),
    };
  }

  /** Answers a GET, now or when a check has ended. Unknown paths are 404, other methods 405. */
  handle(method: string, path: string, query: string, respond: Respond): void {
    if (method !== "GET" && method !== "HEAD") {
      respond({ status: 405, type: TEXT, body: "Method Not Allowed\n" });
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
    const [, probe = "", one] = path.replace(/^\/health\/(live|ready)$/, "/$1z").split("/");
    const all = PROBES[probe];
    if (
      all === undefined ||
      path.split("/").length > 3 ||
      (one !== undefined && !all.includes(one))
    ) {
      respond({ status: 404, type: TEXT, body: "404 page not found\n" });
      return;
    }
    const excluded = new Set(parameters.getAll("exclude"));
    const names = one === undefined ? all.filter((name) => !excluded.has(name)) : [one];
    this.#runAll(names, (results) =>
      respond(probeAnswer(probe, results, parameters.has("verbose"))),
    );
  }

  #run(name: string, done: (failure: string | undefined) => void): void {
    (this.#checks[name] as Check)(done);
  }

  #runAll(names: readonly string[], done: (results: readonly CheckResult[]) => void): void {
    const results: CheckResult[] = [];
    for (const name of names) {
      this.#run(name, (failure) => {
        results.push({ name, failure });
        if (results.length === names.length) done(results);
      });
    }
    if (names.length === 0) done(results);
  }
}

interface CheckResult {
  readonly name: string;
  readonly failure: string | undefined;
}

const PROBES: Readonly<Record<string, readonly string[] | undefined>> = {
  livez: ["serializable_read"],
  readyz: ["data_corruption", "serializable_read", "linearizable_read", "non_learner"],
};

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
