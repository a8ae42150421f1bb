/** Durations in Go's notation, as etcd and etcdctl have them: `1m30s`, `1.5h`, `971.474µs`. */

const NS_PER_UNIT: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3, // U+00B5
  μs: 1e3, // U+03BC
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Milliseconds, fractional, of a text in Go's notation; undefined when it is none. */
export function parseDurationMs(text: string): number | undefined {
  const [, sign = "", body = ""] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (body === "0") return 0;
  let ns = 0;
  let rest = body;
  while (rest !== "") {
    const part = /^(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/.exec(rest);
    if (part === null) return undefined;
    ns += Number(part[1]) * (NS_PER_UNIT[part[2] as string] as number);
    rest = rest.slice(part[0].length);
  }
  if (body === "" || ns > Number.MAX_SAFE_INTEGER) return undefined;
  return (sign === "-" ? -ns : ns) / 1e6;
}

/** A time that passed, at least 0, in whole nanoseconds, as Go prints it: `1.223385ms`. */
export function formatDuration(ns: number): string {
  const whole = Math.round(ns);
  if (whole === 0) return "0s";
  if (whole < 1e3) return `${whole}ns`;
  if (whole < 1e6) return `${trimmed(whole, 3)}µs`;
  if (whole < 1e9) return `${trimmed(whole, 6)}ms`;
  const minutes = Math.floor(whole / 60e9);
  const seconds = `${trimmed(whole - minutes * 60e9, 9)}s`;
  if (minutes === 0) return seconds;
  const hours = Math.floor(minutes / 60);
  return hours === 0 ? `${minutes}m${seconds}` : `${hours}h${minutes % 60}m${seconds}`;
}

/** `value` / 10^digits, exactly, without zeros at the end. */
function trimmed(value: number, digits: number): string {
  const text = value.toString().padStart(digits + 1, "0");
  const fraction = text.slice(-digits).replace(/0+$/, "");
  const integer = text.slice(0, -digits);
  return fraction === "" ? integer : `${integer}.${fraction}`;
}
