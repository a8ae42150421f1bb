/** Commands drawn by a seed: a few keys, and every flag of get, put, del and txn. */
import { Prng } from "../../../../src/base/prng.ts";
import type { Part, Step } from "../step.ts";

const KEYS = ["a", "a/1", "a/2", "b", "ü", "a b", 'q"uote', ""] as const;
const VALUES = ["1", "2", "x y", "ünï", "-", '"', "long".repeat(20)] as const;
const FORMATS = ["", "", "", "-w=json", "-w=fields", "-w=protobuf", "--hex"] as const;
const COMMANDS_COUNT = 40;

export function randomPart(seed: number): Part {
  const random = new Prng(seed);
  const one = <T>(list: readonly T[]): T => list[random.below(list.length)] as T;
  const maybe = (...words: string[]): string[] => (random.below(3) === 0 ? words : []);
  const steps = Array.from({ length: COMMANDS_COUNT }, () => step(one, maybe));
  return { name: `random-${seed}`, steps };
}

type One = <T>(list: readonly T[]) => T;
type Maybe = (...words: string[]) => string[];

function step(one: One, maybe: Maybe): Step {
  const format = one(FORMATS);
  const shown = format === "" ? [] : [format];
  switch (one(["put", "put", "get", "get", "del", "txn"])) {
    case "put":
      return { words: ["put", ...shown, ...maybe("--prev-kv"), "--", one(KEYS), one(VALUES)] };
    case "get":
      return { words: ["get", ...shown, ...rangeWords(one, maybe), ...readFlags(one, maybe)] };
    case "del":
      return {
        words: ["del", ...shown, "--range", ...maybe("--prev-kv"), ...rangeWords(one, maybe)],
      };
    default:
      return { words: ["txn", ...shown], stdin: transaction(one) };
  }
}

function rangeWords(one: One, maybe: Maybe): string[] {
  const way = one(["one", "range", "prefix", "from"]);
  if (way === "prefix") return [one(KEYS), "--prefix"];
  if (way === "from") return [one(KEYS), "--from-key"];
  return way === "one" ? [one(KEYS)] : [one(KEYS), ...maybe(one(KEYS))];
}

function readFlags(one: One, maybe: Maybe): string[] {
  return [
    ...maybe("--keys-only"),
    ...maybe(`--limit=${one(["1", "2", "0"])}`),
    ...maybe(`--rev=${one(["2", "5", "9", "30", "-1"])}`),
    ...maybe(`--sort-by=${one(["KEY", "VERSION", "CREATE", "MODIFY", "VALUE"])}`),
    ...maybe(`--order=${one(["ASCEND", "DESCEND"])}`),
    ...maybe(`--consistency=${one(["l", "s"])}`),
  ];
}

function transaction(one: One): string {
  const quoted = (text: string): string => JSON.stringify(text);
  const compare = `${one(["mod", "ver", "create"])}(${quoted(one(KEYS) || "a")}) ${one([
    "=",
    ">",
    "<",
    "!=",
  ] as const)} "${one(["0", "1", "3"])}"`;
  const put = `put ${quoted(one(KEYS) || "b")} ${quoted(one(VALUES.slice(0, 4)))}`;
  return `${compare}\n\n${put}\nget a --prefix\n\nget ${quoted(one(KEYS) || "c")}\ndel b\n\n`;
}
