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

/** Buckets only grow, and the last one holds all. Looks at histograms without labels. */
function histogramComplaints(
  samples: ReadonlyMap<string, number>,
  types: ReadonlyMap<string, string>,
): string[] {
  const complaints: string[] = [];
  for (const [name, type] of types) {
    if (type !== "histogram") continue;
    const buckets = [...samples].filter(([full]) => full.startsWith(`${name}_bucket{le="`));
    let last = 0;
    for (const [full, count] of buckets) {
      if (count < last) complaints.push(`${full}: fewer than the bucket before`);
      last = count;
    }
    if (buckets.length === 0) complaints.push(`${name}: no buckets`);
    if (!buckets.at(-1)?.[0].includes('le="+Inf"')) complaints.push(`${name}: no +Inf at the end`);
    if (last !== samples.get(`${name}_count`)) complaints.push(`${name}: +Inf is not the count`);
    if (!samples.has(`${name}_sum`)) complaints.push(`${name}: no sum`);
  }
  return complaints;
}
