import { expect, test } from "bun:test";
import { checkFencing, FencedResource } from "./fencing.ts";
import type { Access, Hold } from "./history.ts";

/** A client is sure of the lock "l" from a time to a time; it asked one before. */
function hold(client: string, token: number, from: number, certainUntil: number): Hold {
  const [id, call] = [`${client}!${token}`, from - 1];
  return { id, client, lock: "l", token, call, acquired: from, certainUntil };
}

const first = hold("a", 5, 10, 20);
const second = hold("b", 6, 30, 40);

const check = (holds: readonly Hold[], accesses: readonly Access[] = []): string[] => {
  return checkFencing({ holds, accesses });
};

test("holders one after the other, with growing tokens", () => {
  expect(check([first, second])).toEqual([]);
  expect(check([second, first])).toEqual([]);
});

test("a token that does not grow", () => {
  expect(check([first, hold("b", 4, 30, 40)])).toEqual([
    "lock l: M1: b!4 (token 4) was asked for after a!5 (token 5) was held",
  ]);
  expect(check([first, { ...hold("b", 5, 30, 40), call: 5 }])).toEqual([
    "lock l: M1: a!5 (token 5) and b!5 (token 5) share a token",
  ]);
  expect(check([first, { ...hold("b", 4, 30, 40), call: 5 }])).toEqual([]); // asked for together
  expect(check([first, { ...hold("b", 4, 30, 40), lock: "m" }])).toEqual([]);
});

test("two who are certain at the same time", () => {
  expect(check([first, hold("b", 6, 19, 40)])).toEqual([
    "lock l: M2: b!6 (token 6) while a!5 (token 5) was certain of it",
  ]);
  expect(check([hold("a", 5, 10, 90), hold("b", 6, 12, 13), hold("c", 7, 50, 60)])).toHaveLength(2);
  expect(check([first, hold("b", 6, 15, 15)])).toEqual([]); // never certain
});

test("a resource that checks tokens", () => {
  let now = 11;
  const resource = new FencedResource("l", () => now);
  expect(resource.access("a", 5)).toBe(true);
  now = 31;
  expect(resource.access("b", 6)).toBe(true);
  expect(resource.access("a", 5)).toBe(false);
  expect(resource.access("b", 6)).toBe(true);
  expect(check([first, second], resource.accesses)).toEqual([]);
});

test("a resource that lets in who comes late, or who has no token", () => {
  const access = (client: string, token: number, at: number, accepted = true): Access => {
    return { client, lock: "l", token, at, accepted };
  };
  const late = [access("b", 6, 31), access("a", 5, 32)];
  expect(check([first, second], late)).toEqual([
    "lock l: M3: a with token 5 at 32.000 was let in behind 6",
  ]);
  const strangers = [access("c", 5, 11), access("b", 9, 31), access("b", 6, 3)];
  expect(check([first, second], [access("c", 5, 11)])).toHaveLength(1);
  expect(check([first, second], [access("b", 6, 3)])).toHaveLength(1);
  expect(check([first, second], strangers)).toHaveLength(4);
  expect(check([first], [access("a", 5, 11, false)])).toEqual([
    "lock l: M3: a with token 5 at 11.000 was kept out, the last was 0",
  ]);
});
