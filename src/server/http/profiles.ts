/**
 * /debug/pprof/: where the time of this process goes and what its memory holds, told in pprof's
 * format where the thing exists here. Each costs the server something, so there is one at a time;
 * that they are there at all is an operator's choice (--enable-pprof).
 */

import { heapStats } from "bun:jsc";
import type { Profiler } from "node:inspector";
import { inspector } from "../../base/builtin.ts";
import type { HttpResponse } from "../../wire/http1/http.ts";
import { encodeProfile, type Frame, type Profile, type Sample } from "./pprof.ts";

/** As Go's: without ?seconds. */
const SECONDS_DEFAULT = 30;
/** Samples of a minute take some megabytes; nobody learns more from five. */
const SECONDS_MAX = 300;

const SAMPLE_INTERVAL_US = 1000;
const SAMPLE_INTERVAL_NS = SAMPLE_INTERVAL_US * 1000;
const MS_PER_S = 1000;

const TEXT = ["content-type", "text/plain; charset=utf-8", "x-content-type-options", "nosniff"];

const INDEX = `<html><head><title>/debug/pprof/</title></head><body>
<p>Profiles of this process:</p>
<ul>
<li><a href="profile?seconds=30">profile</a>: where the CPU's time goes, for pprof</li>
<li><a href="heap">heap</a>: objects by kind, for pprof</li>
<li><a href="heapsnapshot">heapsnapshot</a>: every object, for the developer tools of a browser;
the server stands still meanwhile</li>
<li><a href="cmdline">cmdline</a>: how it was started</li>
</ul></body></html>
`;

/** What etcd has under these names comes from Go's scheduler, which is not here. */
const OF_GO = new Set(["goroutine", "threadcreate", "block", "mutex", "trace", "symbol", "allocs"]);

export class Profiles {
  readonly #wallMs: () => number;
  readonly #command: readonly string[];
  #isSampling = false;

  constructor(wallMs: () => number, command: readonly string[]) {
    this.#wallMs = wallMs;
    this.#command = command;
  }

  /** Answers, perhaps after the seconds that a profile takes. */
  answer(name: string, query: string, response: HttpResponse): void {
    const plain = (status: number, text: string): void => response.end(status, TEXT, text);
    if (name === "") response.end(200, ["content-type", "text/html; charset=utf-8"], INDEX);
    else if (name === "cmdline") plain(200, this.#command.join("\0"));
    else if (name === "heap") download(response, "heap", encodeProfile(this.#heap()));
    else if (name === "heapsnapshot") {
      download(response, "aether.heapsnapshot", Bun.generateHeapSnapshot("v8"));
    } else if (name === "profile") this.#profile(new URLSearchParams(query), response);
    else if (OF_GO.has(name)) plain(501, `${name}: this server is not a Go program\n`);
    else plain(404, "Unknown profile\n");
  }

  #heap(): Profile {
    const { objectTypeCounts } = heapStats();
    const samples = Object.entries(objectTypeCounts).map(([name, count]): Sample => {
      return { stack: [{ name, file: "", line: 0 }], values: [count] };
    });
    const types = [["inuse_objects", "count"]] as const;
    return { types, samples, takenMs: this.#wallMs(), durationMs: 0, period: 0 };
  }

  #profile(parameters: URLSearchParams, response: HttpResponse): void {
    const given = parameters.get("seconds") ?? String(SECONDS_DEFAULT);
    const seconds = /^\d{1,6}$/.test(given) ? Number(given) : 0;
    if (seconds < 1 || seconds > SECONDS_MAX) {
      response.end(400, TEXT, `seconds: expected 1 to ${SECONDS_MAX}\n`);
    } else if (this.#isSampling) {
      response.end(500, TEXT, "Could not enable CPU profiling: cpu profiling already in use\n");
    } else this.#sample(seconds * MS_PER_S, response);
  }

  /** Ends early when the client has gone. */
  #sample(durationMs: number, response: HttpResponse): void {
    const takenMs = this.#wallMs();
    const session = new (inspector().Session)();
    this.#isSampling = true;
    session.connect();
    session.post("Profiler.enable");
    session.post("Profiler.setSamplingInterval", { interval: SAMPLE_INTERVAL_US });
    session.post("Profiler.start");
    const end = (): void => {
      clearTimeout(timer);
      response.onCancel = () => {};
      session.post("Profiler.stop", (error, answer) => {
        this.#isSampling = false;
        session.disconnect();
        if (error !== null) response.end(500, TEXT, `${error.message}\n`);
        else {
          const span = { takenMs, durationMs: this.#wallMs() - takenMs };
          download(response, "profile", encodeProfile(profileOf(answer.profile, span)));
        }
      });
    };
    const timer = setTimeout(end, durationMs);
    response.onCancel = end;
  }
}

/** When a profile was taken, by the wall clock, and for how long. */
export interface Span {
  readonly takenMs: number;
  readonly durationMs: number;
}

/**
 * A sampled profile of the runtime. A sample stands for one interval: the time since the sample
 * before it would also count what the process slept.
 */
export function profileOf(taken: Profiler.Profile, span: Span): Profile {
  const { nodes, samples = [] } = taken;
  const stacks = stacksOf(nodes);
  const counts = new Map<number, number>();
  for (const id of samples) counts.set(id, (counts.get(id) ?? 0) + 1);
  return {
    ...span,
    types: [
      ["samples", "count"],
      ["cpu", "nanoseconds"],
    ],
    samples: [...counts].map(([id, count]): Sample => {
      return { stack: stacks.get(id) ?? [], values: [count, count * SAMPLE_INTERVAL_NS] };
    }),
    period: SAMPLE_INTERVAL_NS,
  };
}

/** By node, its frames from the inside out. */
function stacksOf(nodes: readonly Profiler.ProfileNode[]): Map<number, readonly Frame[]> {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const stacks = new Map<number, readonly Frame[]>();
  const root = nodes[0];
  const open = root === undefined ? [] : [root];
  if (root !== undefined) stacks.set(root.id, []); // it stands for the process
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    const below = stacks.get(node.id) ?? [];
    for (const id of node.children ?? []) {
      const child = byId.get(id);
      if (child === undefined || stacks.has(id)) continue;
      const { functionName, url, lineNumber } = child.callFrame;
      const name = functionName === "" ? "(anonymous)" : functionName;
      stacks.set(id, [{ name, file: url, line: Math.max(0, lineNumber) }, ...below]);
      open.push(child);
    }
  }
  return stacks;
}

function download(response: HttpResponse, name: string, body: Uint8Array | string): void {
  const fields = [
    ...["content-type", "application/octet-stream", "x-content-type-options", "nosniff"],
    ...["content-disposition", `attachment; filename="${name}"`],
  ];
  response.end(200, fields, body);
}
