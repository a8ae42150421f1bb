/**
 * Comparing two servers: both run on the same machine in one run, asked alternately, and what is
 * reported is the ratio of the medians with the spread of the rounds. A time alone means nothing
 * on a shared machine.
 */
import { cpus, loadavg } from "node:os";

export interface Side {
  readonly name: string;
  readonly figures: number[];
}

export interface Row {
  readonly work: string;
  readonly unit: string;
  /** More is better (rates), or less is (times, bytes). */
  readonly better: "more" | "less";
  readonly aether: Side;
  readonly etcd: Side;
  /** Ratios aether/etcd from the design notes. */
  readonly must: number;
  readonly aim: number;
}

export function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

export function ratioOf(row: Row): number {
  return median(row.aether.figures) / median(row.etcd.figures);
}

export type Verdict = "aim" | "must" | "missed";

export function verdictOf(row: Row): Verdict {
  const ratio = ratioOf(row);
  const reaches = (bound: number): boolean =>
    row.better === "more" ? ratio >= bound : ratio <= bound;
  return reaches(row.aim) ? "aim" : reaches(row.must) ? "must" : "missed";
}

/** 12345.6 as "12,346", small numbers with three digits. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return value.toPrecision(3);
}

function spread(side: Side): string {
  const low = Math.min(...side.figures);
  const high = Math.max(...side.figures);
  return `${shown(median(side.figures))} (${shown(low)}–${shown(high)})`;
}

/** A table in Markdown: medians, lowest and highest round, ratio, what was asked for. */
export function table(rows: readonly Row[]): string {
  const lines = [
    "| work | Aether: median (range) | etcd 3.4.23: same | ratio | must / aim | reached |",
    "| --- | --- | --- | --- | --- | --- |",
  ];
  for (const row of rows) {
    const ratio = ratioOf(row).toFixed(2);
    lines.push(
      `| ${row.work}, ${row.unit} | ${spread(row.aether)} | ${spread(row.etcd)} | ${ratio}x | ` +
        `${row.must}x / ${row.aim}x | ${verdictOf(row)} |`,
    );
  }
  return lines.join("\n");
}

/** The machine and its load, for the record. */
export function machine(): string {
  const [first] = cpus();
  const load = loadavg().map((value) => value.toFixed(2));
  return `${cpus().length} × ${first?.model.trim()}, Bun ${Bun.version}, load ${load.join(" ")}`;
}
