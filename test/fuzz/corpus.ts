/** Inputs as JSON that people can read: bytes as hexadecimal, bigints as decimal text. */

type Tagged =
  | { readonly $bytes: string }
  | { readonly $bigint: string }
  | { readonly $number: string };

/** One input as a line of a corpus file. */
export function toCorpus(input: unknown): string {
  return JSON.stringify(tagged(input));
}

/** The rows of a corpus file: an array of inputs, each the arguments of the target's check. */
export function fromCorpus(text: string): unknown[] {
  const rows: unknown = JSON.parse(text);
  if (!Array.isArray(rows)) throw new TypeError("a corpus is a JSON array of inputs");
  return rows.map(untagged);
}

function tagged(value: unknown): unknown {
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("hex") };
  if (typeof value === "bigint") return { $bigint: String(value) };
  if (typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0))) {
    return { $number: Object.is(value, -0) ? "-0" : String(value) }; // JSON would lose it
  }
  if (Array.isArray(value)) return value.map(tagged);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, tagged(each)]));
}

function untagged(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(untagged);
  if (typeof value !== "object" || value === null) return value;
  if (isTagged(value)) return fromTagged(value);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, untagged(each)]));
}

function isTagged(value: object): value is Tagged {
  const [key, ...rest] = Object.keys(value);
  return rest.length === 0 && (key === "$bytes" || key === "$bigint" || key === "$number");
}

function fromTagged(value: Tagged): unknown {
  if ("$bytes" in value) return new Uint8Array(Buffer.from(value.$bytes, "hex"));
  if ("$bigint" in value) return BigInt(value.$bigint);
  return Number(value.$number);
}
