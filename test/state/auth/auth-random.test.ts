/**
 * Random users, roles and permissions: two machines agree, one of which is restarted all the time;
 * what fails changes nothing; and who may do what is what a naive look at the roles says.
 */
import { expect, test } from "bun:test";
import { AetherError } from "../../../src/base/errors.ts";
import { Prng } from "../../../src/base/prng.ts";
import type { NamedRange } from "../../../src/state/auth/key-ranges.ts";
import { stateHash } from "../../../src/state/state-hash.ts";
import { verify } from "../../../src/state/verify.ts";
import { AuthDriver, TYPES } from "./auth-driver.ts";

const USERS = ["root", "a", "b", "ü", ""] as const;
const ROLES = ["root", "r", "s", "ß", ""] as const;
const KEYS = ["", "\0", "a", "b", "c", "\xff"] as const;
const STEPS = 300;

/** One change, drawn: to be made at several machines. */
function drawn(rng: Prng): (driver: AuthDriver) => unknown {
  const [user, role] = [rng.pick(USERS), rng.pick(ROLES)];
  const [key, end] = [rng.pick(KEYS), rng.pick(KEYS)];
  const type = rng.pick(["read", "write", "both"] as const);
  const noPassword = rng.chance(30);
  const hashedPassword = rng.pick(["", "aGFzaA==", "?"]);
  return rng.pick([
    (driver) => driver.addUser(user, { hashedPassword, options: { noPassword } }),
    (driver) => driver.addUser(user),
    (driver) => driver.changePassword(user, hashedPassword),
    (driver) => driver.grantRole(user, role),
    (driver) => driver.grantRole(user, role),
    (driver) => driver.revokeRole(user, role),
    (driver) => driver.addRole(role),
    (driver) => driver.permit(role, type, key, end),
    (driver) => driver.permit(role, type, key, end),
    (driver) => driver.forbid(role, key, end),
    ...(noPassword ? [(driver: AuthDriver) => driver.deleteUser(user)] : []),
    ...(noPassword ? [(driver: AuthDriver) => driver.deleteRole(role)] : []),
    (driver) => driver.enable(),
    (driver) => driver.as(undefined, () => driver.begin(hashedPassword)),
    (driver) => driver.drawKey(Buffer.alloc(noPassword ? 31 : 32, hashedPassword)),
    ...(noPassword ? [(driver: AuthDriver) => driver.disable()] : []),
  ] as ((driver: AuthDriver) => unknown)[]);
}

function attempt(change: (driver: AuthDriver) => unknown, driver: AuthDriver): string {
  const before = stateHash(driver.machine).replace(/^\d+-/, "");
  try {
    change(driver);
    return "done";
  } catch (error) {
    if (!(error instanceof AetherError)) throw error;
    expect(stateHash(driver.machine).replace(/^\d+-/, "")).toBe(before);
    return error.code;
  }
}

/** One point: a key, or a range of which every key would have to be asked. */
function mayNaively({ machine: { auth } }: AuthDriver, user: string, key: string): boolean {
  const known = auth.user(user);
  if (known === undefined) return false;
  if (known.roles.includes("root")) return true;
  return known.roles.some((role) =>
    auth.permissionsOf(role).some(({ permType, key: from, rangeEnd: to }) => {
      const isIn = to === "" ? key === from : key >= from && (to === "\0" || key < to);
      return isIn && permType !== TYPES.write;
    }),
  );
}

for (let seed = 1; seed <= 8; seed++) {
  test(`seed ${seed}`, () => {
    const rng = new Prng(seed);
    const [steady, restless] = [new AuthDriver(), new AuthDriver()];
    for (const driver of [steady, restless]) driver.user = "root";
    const met = new Set<string>();
    for (let step = 0; step < STEPS; step++) {
      const change = drawn(rng);
      const [one, other] = [attempt(change, steady), attempt(change, restless)];
      expect(one).toBe(other);
      met.add(one);
      if (rng.chance(20)) restless.restart();
      expect(stateHash(restless.machine)).toBe(stateHash(steady.machine));
      verify(steady.machine);
      for (const user of USERS) {
        const range: NamedRange = { key: rng.pick(KEYS.slice(1)), rangeEnd: "" };
        expect(steady.machine.auth.allows(user, "read", range)).toBe(
          mayNaively(steady, user, range.key),
        );
      }
    }
    expect(met.size).toBeGreaterThan(8);
  });
}
