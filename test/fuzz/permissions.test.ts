/**
 * Ranges of permissions against a reference that asks every key, and tokens of any text: no text
 * that we have not signed is anybody's, and none is worth a line in the log.
 */
import { expect } from "bun:test";
import fc from "fast-check";
import { JwtTokens } from "../../src/rpc/jwt.ts";
import { sharedKey } from "../../src/rpc/jwt-keys.ts";
import { SimpleTokens } from "../../src/rpc/tokens.ts";
import { isRange, KeyRanges, type NamedRange } from "../../src/state/auth/key-ranges.ts";
import { FakeClock } from "../node/driven-group.ts";
import { storeOf } from "../rpc/auth-stores.ts";
import { loggingTo } from "../rpc/harness.ts";
import { fuzz } from "./fuzz.ts";

/** Few characters, so that ranges meet; "\0" ends ranges, "\xff" is the last one. */
const CHARACTERS = ["\0", "a", "b", "\xff"] as const;
const key = fc.string({ unit: fc.constantFrom(...CHARACTERS), maxLength: 3 });
const range = fc.record({ key, rangeEnd: key });

/** Every key of up to four of the characters: one more than ranges are made of. */
const KEYS = keysUpTo(4);

function keysUpTo(length: number): string[] {
  if (length === 0) return [""];
  const shorter = keysUpTo(length - 1);
  const longest = shorter.filter((each) => each.length === length - 1);
  return [...shorter, ...longest.flatMap((each) => CHARACTERS.map((last) => each + last))];
}

function holds({ key: from, rangeEnd: to }: NamedRange, one: string): boolean {
  if (to === "") return one === from;
  return one >= from && (to === "\0" || one < to);
}

fuzz({
  name: "permission-ranges",
  inputs: [fc.array(range, { maxLength: 6 }), range],
  check: (granted, asked) => {
    if (asked.key === "") return; // refused before anybody's rights are looked at
    const allowed = granted.filter(isRange);
    const may = (one: string): boolean => allowed.some((each) => holds(each, one));
    const covers = new KeyRanges(granted).covers(asked);
    const denied = KEYS.find((one) => holds(asked, one) && !may(one));
    if (covers) expect(denied).toBeUndefined();
    // One permission that holds the whole request is enough, however the others lie.
    const whole = allowed.some(
      (each) => holds(each, asked.key) && endOf(asked) <= endOf(each) && asked.key < endOf(asked),
    );
    if (whole) expect(covers).toBe(true);
  },
  runs: 3000,
});

/** The first text past the range; no key is as long as what stands for no end. */
function endOf({ key: from, rangeEnd: to }: NamedRange): string {
  if (to === "") return `${from}\0`;
  return to === "\0" ? "\u{ffff}" : to;
}

const clock = new FakeClock();
const logged: string[] = [];
const store = storeOf("root", "u");
const secret = new Uint8Array(32).fill(7);
const signed = new JwtTokens(
  { key: sharedKey(secret), ttlMs: 600_000, rules: "own" },
  clock,
  loggingTo(logged),
);
const simple = new SimpleTokens(clock, 300);
simple.onChange({ of: "token", user: "u", token: "abcdefghijklmnop.17", index: 17 });
const good = await signed.issue({ user: "u", token: "", authRevision: 9, index: 17 }, store);

const base64url = (value: fc.Arbitrary<unknown>): fc.Arbitrary<string> =>
  value.map((each) => Buffer.from(JSON.stringify(each) ?? "").toString("base64url"));
const head = fc.record(
  {
    alg: fc.constantFrom("HS256", "none", "RS256", "hs256", "", null, 1),
    crit: fc.constantFrom(["exp"], [], "b64", null),
    b64: fc.boolean(),
    zip: fc.constant("DEF"),
    typ: fc.constantFrom("JWT", 1, null),
  },
  { requiredKeys: [] },
);
const claims = fc.record(
  {
    username: fc.constantFrom("u", "root", "", 1, null),
    revision: fc.oneof(fc.double(), fc.string(), fc.constant(9)),
    exp: fc.oneof(fc.double(), fc.maxSafeInteger(), fc.string()),
    index: fc.oneof(fc.double(), fc.string()),
  },
  { requiredKeys: [] },
);
const [goodHead = "", goodClaims = "", goodSignature = ""] = good.split(".");
const part = (right: string, value: fc.Arbitrary<unknown>): fc.Arbitrary<string> =>
  fc.oneof(fc.constant(right), base64url(value), base64url(fc.jsonValue()), fc.string());
const token = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc
    .tuple(
      part(goodHead, head),
      part(goodClaims, claims),
      fc.oneof(fc.constant(goodSignature), fc.base64String(), fc.string()),
    )
    .map((parts) => parts.join(".")),
  fc.array(fc.string(), { maxLength: 6 }).map((parts) => parts.join(".")),
);

fuzz({
  name: "tokens",
  inputs: [token],
  check: async (text) => {
    await signed.prove(text, store);
    const isGood = text === good;
    expect(signed.callerOf(text, store, {})).toEqual(
      isGood ? { user: "u", authRevision: store.revision } : undefined,
    );
    expect(simple.callerOf(text, store)).toBeUndefined();
    const index = simple.indexOf(text);
    expect(index === undefined || Number.isSafeInteger(index)).toBe(true);
    expect(logged).toEqual([]);
  },
  runs: 4000,
});
