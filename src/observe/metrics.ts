/**
 * Metrics in Prometheus' text format 0.0.4. The hot path only adds to numbers; everything else
 * (gauges, quantities that somebody already counts) is read when somebody asks for /metrics.
 */

export type Labels = Readonly<Record<string, string>>;

type Kind = "counter" | "gauge" | "histogram";

interface Family {
  readonly name: string;
  readonly help: string;
  readonly kind: Kind;
  /** Appends the sample lines of this family. */
  readonly collect: (out: string[]) => void;
}

/** A number that only grows. */
export class Counter {
  value = 0;
  add(count = 1): void {
    this.value += count;
  }
}

/** Counts of observations at or below each bound; bounds ascend, +Inf is implied. */
export class Histogram {
  readonly bounds: readonly number[];
  readonly counts: number[];
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = bounds.map(() => 0);
  }

  /** Notes a value that was seen `times`. */
  observe(value: number, times = 1): void {
    this.sum += value * times;
    this.count += times;
    for (let i = 0; i < this.bounds.length; i++) {
      if (value <= (this.bounds[i] as number)) {
        (this.counts[i] as number) += times;
        return;
      }
    }
  }
}

/** `count` bounds, each `factor` times the one before, as Prometheus' ExponentialBuckets. */
export function exponentialBounds(start: number, factor: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => start * factor ** i);
}

/** The text form of a label set, keys in alphabetical order as Prometheus' client writes them. */
function labelText(labels: Labels): string {
  const names = Object.keys(labels).sort();
  if (names.length === 0) return "";
  return `{${names.map((name) => `${name}="${escapeLabel(labels[name] as string)}"`).join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

/**
 * A bound as Go's clients write it (shortest form, an exponent from 1e6 on): it is a label, so
 * series of several programs are only added up if its text is the same.
 */
function boundText(value: number): string {
  if (value < 1e6 && (value >= 1e-4 || value === 0)) return String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  if (Math.abs(value) >= 1e21) return value.toExponential();
  return String(value);
}

function collectHistogram(
  out: string[],
  name: string,
  labels: Labels,
  { bounds, counts, sum, count }: Histogram,
): void {
  const suffix = labelText(labels);
  const head = suffix === "" ? "{" : `${suffix.slice(0, -1)},`;
  let below = 0;
  for (let i = 0; i < bounds.length; i++) {
    below += counts[i] as number;
    out.push(`${name}_bucket${head}le="${boundText(bounds[i] as number)}"} ${below}`);
  }
  out.push(`${name}_bucket${head}le="+Inf"} ${count}`);
  out.push(`${name}_sum${suffix} ${numberText(sum)}`, `${name}_count${suffix} ${count}`);
}

/** All metrics of one process. Names are registered once; a second registration is our mistake. */
export class Metrics {
  readonly #families = new Map<string, Family>();

  counter(name: string, help: string, labels: Labels = {}): Counter {
    const counter = new Counter();
    const suffix = labelText(labels);
    this.#register({
      name,
      help,
      kind: "counter",
      collect: (out) => out.push(`${name}${suffix} ${numberText(counter.value)}`),
    });
    return counter;
  }

  /** A value that somebody else keeps, read at collection. */
  read(kind: "counter" | "gauge", name: string, help: string, value: () => number): void {
    this.readMany(kind, name, help, () => [[{}, value()]]);
  }

  /** The same with labels: as many samples as `values` returns. */
  readMany(
    kind: "counter" | "gauge",
    name: string,
    help: string,
    values: () => Iterable<readonly [Labels, number]>,
  ): void {
    const collect = (out: string[]): void => {
      for (const [labels, value] of values()) {
        out.push(`${name}${labelText(labels)} ${numberText(value)}`);
      }
    };
    this.#register({ name, help, kind, collect });
  }

  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const histogram = new Histogram(bounds);
    const collect = (out: string[]): void => collectHistogram(out, name, {}, histogram);
    this.#register({ name, help, kind: "histogram", collect });
    return histogram;
  }

  /** Histograms with labels; they are collected as they come. */
  histograms(name: string, help: string, all: () => Iterable<readonly [Labels, Histogram]>): void {
    const collect = (out: string[]): void => {
      for (const [labels, histogram] of all()) collectHistogram(out, name, labels, histogram);
    };
    this.#register({ name, help, kind: "histogram", collect });
  }

  /** The whole page, families in alphabetical order. */
  text(): string {
    const out: string[] = [];
    for (const name of [...this.#families.keys()].sort()) {
      const family = this.#families.get(name) as Family;
      const { length } = out;
      out.push(`# HELP ${name} ${family.help}`, `# TYPE ${name} ${family.kind}`);
      family.collect(out);
      if (out.length === length + 2) out.length = length; // nothing to show
    }
    return `${out.join("\n")}\n`;
  }

  #register(family: Family): void {
    if (this.#families.has(family.name)) throw new Error(`metric ${family.name} registered twice`);
    this.#families.set(family.name, family);
  }
}
