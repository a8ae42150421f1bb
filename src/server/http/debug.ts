/**
 * /debug/vars and, where --enable-pprof allows it, /debug/pprof/: what a running process can say
 * of itself. The names are etcd's; what stands behind them is this runtime's and not Go's, so only
 * what means the same is there under the same name, and the rest is refused with a reason.
 */
import type { HttpRequest, HttpResponse } from "../../wire/http1/http.ts";
import { type HttpAnswer, notAllowed } from "../endpoints.ts";
import type { Profiles } from "./profiles.ts";

export interface DebugParts {
  /** By name, what /debug/vars shows, as JSON texts. */
  readonly variables: () => Readonly<Record<string, string>>;
  /** Undefined: without --enable-pprof there are no profiles. */
  readonly profiles: Profiles | undefined;
}

const VARIABLES_PATH = "/debug/vars";
const PROFILES_PREFIX = "/debug/pprof";

export class DebugPages {
  readonly #parts: DebugParts;

  constructor(parts: DebugParts) {
    this.#parts = parts;
  }

  /** False: there is no such page, and nothing has been answered. */
  handle({ method, path, query }: HttpRequest, response: HttpResponse): boolean {
    const { profiles } = this.#parts;
    if (path === VARIABLES_PATH) {
      const { status, fields, body } = method === "GET" ? this.#variables() : notAllowed("GET");
      response.end(status, fields, body);
      return true;
    }
    if (profiles === undefined || !path.startsWith(PROFILES_PREFIX)) return false;
    if (path === PROFILES_PREFIX) response.end(307, ["location", `${PROFILES_PREFIX}/`], "");
    else if (path[PROFILES_PREFIX.length] !== "/") return false;
    else profiles.answer(path.slice(PROFILES_PREFIX.length + 1), query, response);
    return true;
  }

  /** The form of Go's expvar: one variable a line. */
  #variables(): HttpAnswer {
    const lines = Object.entries(this.#parts.variables()).map(
      ([name, json]) => `${JSON.stringify(name)}: ${json}`,
    );
    const fields = ["content-type", "application/json; charset=utf-8"];
    return { status: 200, fields, body: `{\n${lines.join(",\n")}\n}\n` };
  }
}
