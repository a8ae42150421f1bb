/**
 * Prometheus' text format, version 0.0.4, read strictly: what its own linter would say, as far as
 * a scraper can be confused by it.
 */

export interface ParsedMetrics {
  /** Value by name with sorted labels, as written in the text. */
  readonly samples: ReadonlyMap<string, number>;
  readonly complaints: readonly string[];
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"';
const NUMBER = "[+-]?(?:\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?|Inf)|NaN";
const COMMENT = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`);
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)?\\})? (${NUMBER})$`);
const TYPES = ["counter", "gauge", "histogram", "summary", "untyped"];

/** A sample's family: histograms have three names. */
function familyOf(name: string, types: ReadonlyMap<string, string>): string {
  const base = name.replace(/_(bucket|sum|count)$/, "");
  return types.get(base) === "histogram" ? base : name;
}

export function parseMetrics(text: string): ParsedMetrics {
  const samples = new Map<string, number>();
  const complaints: string[] = [];
  const types = new Map<string, string>();
  const helped = new Set<string>();
  const finished = new Set<string>();
  let current = "";
  const enter = (family: string): void => {
    if (family === current) return;
    if (finished.has(family)) complaints.push(`${family}: not in one piece`);
    finished.add(current);
    current = family;
  };
  const comment = ([, kind, name = "", rest = ""]: RegExpExecArray): void => {
    enter(name);
    if (kind === "HELP") {
      if (helped.has(name)) complaints.push(`${name}: HELP twice`);
      helped.add(name);
      return;
    }
    if (types.has(name)) complaints.push(`${name}: TYPE twice`);
    if (!TYPES.includes(rest)) complaints.push(`${name}: no type named ${rest}`);
    types.set(name, rest);
  };
  const sample = ([, name = "", labels = "", value = ""]: RegExpExecArray): void => {
    const family = familyOf(name, types);
    enter(family);
    if (!types.has(family)) complaints.push(`${name}: no TYPE before it`);
    if (!helped.has(family)) complaints.push(`${name}: no HELP before it`);
    const full = labels === "" ? name : `${name}{${labels}}`;
    if (samples.has(full)) complaints.push(`${full}: twice`);
    samples.set(full, Number(value.replace("Inf", "Infinity")));
    if (types.get(family) === "counter" && !(Number(value) >= 0)) {
      complaints.push(`${full}: a counter of ${value}`);
    }
  };
  if (!text.endsWith("\n")) complaints.push("no line feed at the end");
  for (const line of text.split("\n").slice(0, -1)) {
    const asComment = COMMENT.exec(line);
    const asSample = SAMPLE.exec(line);
    if (asComment !== null) comment(asComment);
    else if (asSample !== null) sample(asSample);
    else complaints.push(`not understood: ${JSON.stringify(line)}`);
  }
  complaints.push(...histogramComplaints(samples, types));
  return { samples, complaints };
}

/** A sample of a histogram: its series, by name and labels but `le`, and the bound. */
const BUCKET = /^(.+)_bucket\{(?:(.*),)?le="([^"]+)"\}$/;

/** In each series buckets only grow, and the last one holds all. */
function histogramComplaints(
  samples: ReadonlyMap<string, number>,
  types: ReadonlyMap<string, string>,
): string[] {
  const complaints: string[] = [];
  const last = new Map<string, { name: string; labels: string; bound: string; count: number }>();
  for (const [full, count] of samples) {
    const [, name = "", labels = "", bound = ""] = BUCKET.exec(full) ?? [];
    if (types.get(name) !== "histogram") continue;
    const before = last.get(`${name}{${labels}}`);
    if (before !== undefined && count < before.count) {
      complaints.push(`${full}: fewer than the bucket before`);
    }
    last.set(`${name}{${labels}}`, { name, labels, bound, count });
  }
  for (const [series, { name, labels, bound, count }] of last) {
    const suffix = labels === "" ? "" : `{${labels}}`;
    if (bound !== "+Inf") complaints.push(`${series}: no +Inf at the end`);
    if (count !== samples.get(`${name}_count${suffix}`)) {
      complaints.push(`${series}: +Inf is not the count`);
    }
    if (!samples.has(`${name}_sum${suffix}`)) complaints.push(`${series}: no sum`);
  }
  for (const [name, type] of types) {
    if (type !== "histogram") continue;
    if (![...last.values()].some((series) => series.name === name)) {
      complaints.push(`${name}: no buckets`);
    }
  }
  return complaints;
}
