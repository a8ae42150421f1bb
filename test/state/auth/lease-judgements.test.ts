/** Rights to all keys of a lease: the same as if each key were asked for, but asked for once. */
import { describe, expect, spyOn, test } from "bun:test";
import { Prng } from "../../../src/base/prng.ts";
import { checkLease } from "../../../src/state/auth/authorize.ts";
import { codeOf } from "../driver.ts";
import { AuthDriver } from "./auth-driver.ts";

const USERS = ["root", "u", "v"] as const;
const RIGHTS = ["read", "write"] as const;
const KEYS = ["a", "b", "c", "d", "e", "f"] as const;
const LEASES = [1n, 2n] as const;
const STEPS = 400;

function withUsers(): AuthDriver {
  const driver = new AuthDriver().withRoot();
  for (const name of ["u", "v"]) {
    driver.addUser(name);
    driver.addRole(`role-${name}`);
    driver.grantRole(name, `role-${name}`);
    driver.permit(`role-${name}`, "both", "a", "d");
  }
  for (const id of LEASES) driver.grant(id);
  return driver;
}

/** One change of keys, leases or rights, by root. */
function change(driver: AuthDriver, random: Prng): void {
  const [key, role] = [random.pick(KEYS), `role-${random.pick(["u", "v"])}`];
  const lease = random.pick([0n, ...LEASES]);
  const kind = random.below(10);
  driver.user = "root";
  codeOf(() => {
    if (kind < 6) driver.put(key, "", { lease });
    else if (kind < 8) driver.delete(key);
    else if (kind === 8) driver.permit(role, random.pick(["read", "write", "both"]), key, "");
    else driver.forbid(role, key, "");
  });
}

/** Whether each key may be read, or written, looked at one by one. */
function naive(driver: AuthDriver, user: string, right: "read" | "write", id: bigint): string {
  const { auth, space } = driver.machine;
  const entries = [...(space.leases.get(id)?.keys ?? [])];
  const isAllowed = ({ key }: { key: string }) => auth.allows(user, right, { key, rangeEnd: "" });
  return entries.every(isAllowed) ? "none" : "permission_denied";
}

function judged(driver: AuthDriver, user: string, right: "read" | "write", id: bigint): string {
  driver.user = user;
  return codeOf(() => checkLease(driver.machine.question(driver.caller), right, id));
}

describe("a lease", () => {
  for (const seed of [1, 2, 3, 4]) {
    test(`is judged as its keys are, seed ${seed}`, () => {
      const driver = withUsers();
      const random = new Prng(seed);
      let denied = 0;
      for (let step = 0; step < STEPS; step++) {
        change(driver, random);
        const [user, right] = [random.pick(USERS), random.pick(RIGHTS)];
        for (const id of LEASES) {
          const expected = naive(driver, user, right, id);
          if (expected !== "none") denied++;
          expect(judged(driver, user, right, id)).toBe(expected);
        }
      }
      expect(denied).toBeGreaterThan(STEPS / 20);
    });
  }

  test("of many keys is looked through once, then only what comes", () => {
    const driver = withUsers();
    driver.user = "u";
    const attached = 2000;
    const allows = spyOn(driver.machine.auth, "allows");
    for (let i = 0; i < attached; i++) driver.put(`a${i}`, "", { lease: 1n });
    expect(allows.mock.calls.length).toBeLessThan(3 * attached);
    allows.mockClear();
    for (let i = 0; i < 100; i++) expect(judged(driver, "u", "write", 1n)).toBe("none");
    expect(allows).toHaveBeenCalledTimes(1); // for the key that came last
    expect(judged(driver, "u", "read", 1n)).toBe("none");
    expect(allows).toHaveBeenCalledTimes(1 + attached);
  });

  test("is judged anew by other rules, and by old ones of a caller not at all", () => {
    const driver = withUsers();
    driver.user = "root";
    driver.put("c", "", { lease: 1n });
    expect(judged(driver, "u", "write", 1n)).toBe("none");
    const early = driver.caller;
    driver.as("root", () => driver.forbid("role-u", "a", "d"));
    expect(judged(driver, "u", "write", 1n)).toBe("permission_denied");
    driver.as("root", () => driver.permit("role-u", "both", "c", ""));
    expect(judged(driver, "u", "write", 1n)).toBe("none");
    const question = (caller: typeof early) => driver.machine.question(caller);
    expect(codeOf(() => checkLease(question(early), "write", 1n))).toBe("auth_old_revision");
    expect(codeOf(() => checkLease(question(undefined), "write", 1n))).toBe("user_empty");
  });
});
