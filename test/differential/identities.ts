/**
 * Names for what each server chooses by chance: ids of members, clusters and leases, tokens, its
 * own addresses. The first id that a side shows is "#1", the next that differs "#2": two sides that
 * answer alike show the same names, and an id that is mixed up with another does not.
 */
import type { Tree, TreeMessage } from "./schema.ts";

/** No counter of a run comes here; ids drawn from 63 or 64 bits nearly always do. */
const SMALLEST_ID = 1n << 40n;

/** Simple tokens of etcd: 16 letters, a dot, the index in the log. */
const TOKEN = /\b[a-zA-Z]{16}\.\d+/g;
/** Ids inside keys of locks and elections, and inside texts of members. */
const HEX_ID = /\b[0-9a-f]{11,16}\b/g;
const INTEGER = /^-?\d{12,20}$/;
const INTEGER_IN_TEXT = /\b\d{14,20}\b/g;

export class Identities {
  readonly #names = new Map<bigint, string>();
  readonly #texts: readonly (readonly [text: string, name: string])[];

  /** `texts`: what stands for addresses and the like, by what they are called here. */
  constructor(texts: Readonly<Record<string, string>> = {}) {
    this.#texts = Object.entries(texts).map(([name, text]) => [text, name]);
  }

  /** The tree with names instead of ids, everywhere. */
  named<T extends Tree | TreeMessage>(tree: T): T {
    return this.#named(tree) as T;
  }

  #named(value: Tree): Tree {
    if (typeof value === "string") return this.#text(value);
    if (Array.isArray(value)) return value.map((one) => this.#named(one));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, this.#named(one)]));
  }

  #text(text: string): string {
    if (INTEGER.test(text)) return this.#id(BigInt(text)) ?? text;
    let named = text;
    for (const [from, to] of this.#texts) named = named.replaceAll(from, to);
    return named
      .replace(TOKEN, "<token>")
      .replace(INTEGER_IN_TEXT, (digits) => this.#id(BigInt(digits)) ?? digits)
      .replace(HEX_ID, (hex) => this.#id(BigInt(`0x${hex}`)) ?? hex);
  }

  #id(id: bigint): string | undefined {
    if (id < SMALLEST_ID && id > -SMALLEST_ID) return undefined;
    const known = this.#names.get(id);
    if (known !== undefined) return known;
    const name = `#${this.#names.size + 1}`;
    this.#names.set(id, name);
    return name;
  }
}
