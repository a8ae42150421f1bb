/**
 * What users may see and change, worked out the slow way: key by key over every key that a test
 * can name, with a list of grants and nothing clever. It shares no code with the server.
 */

/** Bytes as Latin-1 text, whose order is the order of bytes. */
export type Key = string;

export type Right = "READ" | "WRITE";
export type Permission = Right | "READWRITE";

/** As in requests: end "" is one key, "\0" every key from the first on. */
export interface KeyRange {
  readonly key: Key;
  readonly rangeEnd: Key;
}

interface Grant extends KeyRange {
  readonly permission: Permission;
}

/** What is first and last in the order of keys, zero bytes and 0xff among them. */
const LETTERS = ["\0", "a", "b", "c", "\xff"] as const;

/** Every key of one to three letters: no test names another. */
export const ALL_KEYS: readonly Key[] = LETTERS.flatMap((a) => [
  a,
  ...LETTERS.flatMap((b) => [a + b, ...LETTERS.map((c) => a + b + c)]),
]).sort();

export function isIn(key: Key, { key: from, rangeEnd }: KeyRange): boolean {
  if (rangeEnd === "") return key === from;
  return key >= from && (rangeEnd === "\0" || key < rangeEnd);
}

export function keysOf(range: KeyRange): Key[] {
  return ALL_KEYS.filter((key) => isIn(key, range));
}

/** Every value says of which key it is, so that one that leaks is known. */
export function markedValue(key: Key): Buffer {
  return Buffer.from(`value of <${Buffer.from(key, "latin1").toString("hex")}>`);
}

/** Keys whose values stand in a text. */
export function keysInside(text: string): Key[] {
  const found = text.matchAll(/value of <([0-9a-f]*)>/g);
  return [...found].map(([, hex = ""]) => Buffer.from(hex, "hex").toString("latin1"));
}

export class Filter {
  readonly #grants = new Map<string, Map<string, Grant>>();
  readonly #roles = new Map<string, Set<string>>();

  grant(role: string, permission: Permission, range: KeyRange): void {
    const grants = this.#grants.get(role) ?? new Map<string, Grant>();
    this.#grants.set(role, grants);
    grants.set(`${range.key}|${range.rangeEnd}`, { ...range, permission }); // the later one counts
  }

  revoke(role: string, range: KeyRange): void {
    this.#grants.get(role)?.delete(`${range.key}|${range.rangeEnd}`);
  }

  give(user: string, role: string): void {
    this.#roles.set(user, (this.#roles.get(user) ?? new Set()).add(role));
  }

  take(user: string, role: string): void {
    this.#roles.get(user)?.delete(role);
  }

  permits(user: string, right: Right, key: Key): boolean {
    return this.#of(user, right).some((grant) => isIn(key, grant));
  }

  /** Whether one grant alone says so: then nobody may refuse. */
  mustServe(user: string, right: Right, range: KeyRange): boolean {
    if (range.key === "" || this.#roles.get(user)?.has("root") === true) return false;
    return this.#of(user, right).some((grant) => isWithin(range, grant));
  }

  grantsOf(role: string): readonly KeyRange[] {
    return [...(this.#grants.get(role)?.values() ?? [])];
  }

  rolesOf(user: string): readonly string[] {
    return [...(this.#roles.get(user) ?? [])];
  }

  #of(user: string, right: Right): Grant[] {
    const grants = this.rolesOf(user).flatMap((role) => [
      ...(this.#grants.get(role)?.values() ?? []),
    ]);
    return grants.filter(({ permission }) => permission === right || permission === "READWRITE");
  }
}

/** A range that has keys, within another. */
function isWithin(inner: KeyRange, outer: KeyRange): boolean {
  if (!isIn(inner.key, outer)) return false;
  if (inner.rangeEnd === "") return true;
  if (inner.rangeEnd !== "\0" && inner.rangeEnd <= inner.key) return false;
  if (outer.rangeEnd === "\0") return true;
  return outer.rangeEnd !== "" && inner.rangeEnd !== "\0" && inner.rangeEnd <= outer.rangeEnd;
}
