/**
 * Profiles in pprof's format (google/pprof, proto/profile.proto), gzipped, so that the tools that
 * people have for etcd read ours: `go tool pprof http://host:2379/debug/pprof/profile`.
 */
import { zlib } from "../../base/builtin.ts";
import { ByteWriter } from "../../base/bytes.ts";

/** What a value counts, and in which unit: ["cpu", "nanoseconds"]. */
export type ValueType = readonly [type: string, unit: string];

export interface Frame {
  readonly name: string;
  readonly file: string;
  /** From 1; 0 if it is not known. */
  readonly line: number;
}

export interface Sample {
  /** The innermost frame first. */
  readonly stack: readonly Frame[];
  /** One for each value type. */
  readonly values: readonly number[];
}

export interface Profile {
  readonly types: readonly ValueType[];
  readonly samples: readonly Sample[];
  /** Wall clock, and how long it took; 0 for a profile of a moment. */
  readonly takenMs: number;
  readonly durationMs: number;
  /** Between two samples, in the unit of the last value type; 0 if there is no such thing. */
  readonly period: number;
}

const NS_PER_MS = 1_000_000;

/** Numbers of fields in Profile and in the messages inside. */
const Tag = {
  sampleType: 1,
  sample: 2,
  location: 4,
  function: 5,
  string: 6,
  timeNanos: 9,
  durationNanos: 10,
  periodType: 11,
  period: 12,
} as const;

export function encodeProfile(profile: Profile): Uint8Array {
  const names = new Names();
  const out = new ByteWriter();
  for (const type of profile.types) putMessage(out, Tag.sampleType, names.valueType(type));
  for (const { stack, values } of profile.samples) {
    const sample = new ByteWriter(64);
    for (const frame of stack) putNumber(sample, 1, names.location(frame));
    for (const value of values) putNumber(sample, 2, value);
    putMessage(out, Tag.sample, sample);
  }
  putNumber(out, Tag.timeNanos, profile.takenMs * NS_PER_MS);
  putNumber(out, Tag.durationNanos, Math.round(profile.durationMs * NS_PER_MS));
  const last = profile.types.at(-1);
  if (profile.period > 0 && last !== undefined) {
    putMessage(out, Tag.periodType, names.valueType(last));
    putNumber(out, Tag.period, profile.period);
  }
  names.put(out);
  return zlib().gzipSync(out.view());
}

/** The tables of a profile: samples name places by number, places name texts by number. */
class Names {
  readonly #texts = new Map<string, number>([["", 0]]);
  readonly #functions = new Map<string, number>();
  readonly #locations = new Map<string, number>();
  readonly #tables = new ByteWriter();

  /** The number of a place; it is put into the tables when it is new. */
  location({ name, file, line }: Frame): number {
    const key = `${name}\n${file}\n${line}`;
    const known = this.#locations.get(key);
    if (known !== undefined) return known;
    const id = this.#locations.size + 1;
    this.#locations.set(key, id);
    const place = new ByteWriter(16);
    putNumber(place, 1, this.#function(name, file));
    putNumber(place, 2, line);
    const location = new ByteWriter(32);
    putNumber(location, 1, id);
    putMessage(location, 4, place);
    putMessage(this.#tables, Tag.location, location);
    return id;
  }

  valueType([type, unit]: ValueType): ByteWriter {
    const message = new ByteWriter(16);
    putNumber(message, 1, this.#text(type));
    putNumber(message, 2, this.#text(unit));
    return message;
  }

  /** Writes the tables. */
  put(out: ByteWriter): void {
    out.append(this.#tables.view());
    for (const text of this.#texts.keys()) {
      const bytes = Buffer.from(text, "utf8");
      putDelimited(out, Tag.string, bytes);
    }
  }

  #function(name: string, file: string): number {
    const key = `${name}\n${file}`;
    const known = this.#functions.get(key);
    if (known !== undefined) return known;
    const id = this.#functions.size + 1;
    this.#functions.set(key, id);
    const message = new ByteWriter(32);
    putNumber(message, 1, id);
    putNumber(message, 2, this.#text(name));
    putNumber(message, 3, this.#text(name));
    putNumber(message, 4, this.#text(file));
    putMessage(this.#tables, Tag.function, message);
    return id;
  }

  #text(text: string): number {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    const id = this.#texts.size;
    this.#texts.set(text, id);
    return id;
  }
}

function putMessage(out: ByteWriter, field: number, message: ByteWriter): void {
  putDelimited(out, field, message.view());
}

function putDelimited(out: ByteWriter, field: number, bytes: Uint8Array): void {
  putVarint(out, field * 8 + 2);
  putVarint(out, bytes.length);
  out.append(bytes);
}

/** A zero is written, too: in a list it has its place. */
function putNumber(out: ByteWriter, field: number, value: number): void {
  putVarint(out, field * 8);
  putVarint(out, value);
}

/** A whole number that is not negative. */
function putVarint(out: ByteWriter, value: number): void {
  let rest = value;
  while (rest >= 128) {
    out.u8((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  out.u8(rest);
}
