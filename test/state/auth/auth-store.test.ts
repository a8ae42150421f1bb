/** Users and roles as replicated state, one test a rule (etcd server/auth/store.go). */
import { describe, expect, test } from "bun:test";
import { stateHash } from "../../../src/state/state-hash.ts";
import { verify } from "../../../src/state/verify.ts";
import { codeOf } from "../driver.ts";
import { AuthDriver, TYPES } from "./auth-driver.ts";

const roles = (driver: AuthDriver, user: string): readonly string[] =>
  driver.machine.auth.user(user)?.roles ?? [];

describe("the auth revision", () => {
  test("begins with 1 and rises with each change of users and roles, and with disabling", () => {
    const driver = new AuthDriver();
    const { auth } = driver.machine;
    expect(auth.revision).toBe(1);
    const changes: (() => unknown)[] = [
      () => driver.addUser("root"),
      () => driver.grantRole("root", "root"),
      () => driver.addRole("r"),
      () => driver.permit("r", "read", "k"),
      () => driver.permit("r", "read", "k"), // the same again is written again
      () => driver.forbid("r", "k"),
      () => driver.addUser("u"),
      () => driver.changePassword("u", ""),
      () => driver.grantRole("u", "r"),
      () => driver.revokeRole("u", "r"),
      () => driver.deleteRole("r"),
      () => driver.deleteUser("u"),
    ];
    for (const [at, change] of changes.entries()) {
      change();
      expect(auth.revision).toBe(2 + at);
    }
    const before = auth.revision;
    driver.enable();
    expect(auth.revision).toBe(before);
    driver.as("root", () => driver.disable());
    expect(auth.revision).toBe(before + 1);
    expect(driver.machine.revision).toBe(1);
  });

  test("stays with what changes nothing, or fails", () => {
    const driver = new AuthDriver();
    driver.addUser("u");
    driver.addRole("r");
    driver.grantRole("u", "r");
    const { auth } = driver.machine;
    const { revision } = auth;
    driver.grantRole("u", "r");
    driver.disable(); // it is off
    expect(codeOf(() => driver.addUser("u"))).toBe("user_exists");
    expect(codeOf(() => driver.enable())).toBe("root_user_missing");
    expect(auth.revision).toBe(revision);
  });
});

describe("root", () => {
  test("must be there, with its role, before auth is switched on; again changes nothing", () => {
    const driver = new AuthDriver();
    expect(codeOf(driver.enable)).toBe("root_user_missing");
    driver.addUser("root");
    expect(codeOf(driver.enable)).toBe("root_role_missing");
    driver.grantRole("root", "root"); // a role that was never made
    driver.enable();
    expect(driver.machine.auth.enabled).toBe(true);
    driver.as("root", driver.enable);
  });

  test("cannot go, nor its role, nor the one from the other, while auth is on", () => {
    const driver = new AuthDriver().withRoot();
    driver.addRole("root");
    const refused = [
      codeOf(() => driver.deleteUser("root")),
      codeOf(() => driver.deleteRole("root")),
      codeOf(() => driver.revokeRole("root", "root")),
    ];
    expect(refused).toEqual(Array(3).fill("invalid_auth_management"));
    driver.disable();
    driver.deleteRole("root");
    expect(roles(driver, "root")).toEqual([]);
    driver.deleteUser("root");
  });
});

describe("users", () => {
  test("have a name of their own and a hash, or none", () => {
    const driver = new AuthDriver();
    expect(codeOf(() => driver.addUser(""))).toBe("user_empty");
    driver.addUser("u", { hashedPassword: "aGFzaA==" });
    expect(codeOf(() => driver.addUser("u"))).toBe("user_exists");
    expect(driver.machine.auth.user("u")?.password).toEqual(new Uint8Array(Buffer.from("hash")));
    driver.addUser("n", { hashedPassword: "aGFzaA==", options: { noPassword: true } });
    driver.changePassword("n", "aGFzaA==");
    expect(driver.machine.auth.user("n")?.password).toEqual(new Uint8Array(0));
    expect(codeOf(() => driver.addUser("x", { hashedPassword: "no base64" }))).toBe(
      "no_password_user",
    );
    expect(codeOf(() => driver.changePassword("none", ""))).toBe("user_not_found");
    expect(codeOf(() => driver.deleteUser("none"))).toBe("user_not_found");
  });

  test("are listed in the order of the bytes of their names", () => {
    const driver = new AuthDriver();
    for (const name of ["ü", "b", "\u{1f600}", "\uff5e", "a"]) driver.addUser(name);
    const names = driver.machine.auth.users().map(({ name }) => name);
    expect(names).toEqual(["a", "b", "ü", "\uff5e", "\u{1f600}"]);
  });

  test("have roles that exist, each once, in order", () => {
    const driver = new AuthDriver();
    driver.addUser("u");
    expect(codeOf(() => driver.grantRole("none", "none"))).toBe("user_not_found");
    expect(codeOf(() => driver.grantRole("u", "none"))).toBe("role_not_found");
    for (const role of ["b", "c", "a"]) {
      driver.addRole(role);
      driver.grantRole("u", role);
    }
    expect(roles(driver, "u")).toEqual(["a", "b", "c"]);
    driver.revokeRole("u", "b");
    expect(codeOf(() => driver.revokeRole("u", "b"))).toBe("role_not_granted");
    expect(codeOf(() => driver.revokeRole("none", "b"))).toBe("user_not_found");
    driver.deleteRole("a");
    expect(roles(driver, "u")).toEqual(["c"]);
  });
});

describe("roles", () => {
  test("have names of their own", () => {
    const driver = new AuthDriver();
    expect(codeOf(() => driver.addRole(""))).toBe("role_empty");
    driver.addRole("r");
    expect(codeOf(() => driver.addRole("r"))).toBe("role_exists");
    expect(codeOf(() => driver.deleteRole("none"))).toBe("role_not_found");
    expect(codeOf(() => driver.machine.auth.permissionsOf("none"))).toBe("role_not_found");
  });

  test("permit ranges, in order of key; the same range again replaces what it allows", () => {
    const driver = new AuthDriver();
    driver.addRole("r");
    driver.permit("r", "read", "b", "d");
    driver.permit("r", "both", "a");
    driver.permit("r", "write", "b", "d");
    expect(driver.machine.auth.permissionsOf("r")).toEqual([
      { permType: TYPES.both, key: "a", rangeEnd: "" },
      { permType: TYPES.write, key: "b", rangeEnd: "d" },
    ]);
  });

  test("allow less when a permission is narrowed, whatever else begins with its key", () => {
    const driver = new AuthDriver();
    driver.addUser("u");
    driver.addRole("r");
    driver.grantRole("u", "r");
    driver.permit("r", "read", "a", "b");
    driver.permit("r", "both", "a", "c");
    driver.permit("r", "read", "a", "c");
    expect(driver.machine.auth.allows("u", "write", { key: "a", rangeEnd: "" })).toBe(false);
    expect(driver.machine.auth.permissionsOf("r").length).toBe(2);
  });

  test("permit no range that cannot be", () => {
    const driver = new AuthDriver();
    const invalid = (key: string, end: string): string =>
      codeOf(() => driver.permit("r", "read", key, end));
    expect([invalid("", ""), invalid("", "\0"), invalid("b", "a"), invalid("a", "a")]).toEqual(
      Array(4).fill("invalid_auth_management"),
    );
    expect(invalid("a", "b")).toBe("role_not_found");
    driver.addRole("r");
    expect([invalid("b", "\0"), invalid("\0", "\0")]).toEqual(["none", "none"]);
  });

  test("lose exactly the range that is revoked", () => {
    const driver = new AuthDriver();
    driver.addRole("r");
    driver.permit("r", "read", "a", "c");
    expect(codeOf(() => driver.forbid("none", "a", "c"))).toBe("role_not_found");
    expect(codeOf(() => driver.forbid("r", "a", "b"))).toBe("permission_not_granted");
    expect(codeOf(() => driver.forbid("r", "a"))).toBe("permission_not_granted");
    driver.forbid("r", "a", "c");
    expect(driver.machine.auth.permissionsOf("r")).toEqual([]);
  });

  test("named root allow everything, whatever was granted to them", () => {
    const driver = new AuthDriver();
    driver.addRole("root");
    driver.permit("root", "read", "a");
    const everything = { permType: TYPES.both, key: "", rangeEnd: "\0" };
    expect(driver.machine.auth.permissionsOf("root")).toEqual([everything]);
  });
});

describe("a password that was right", () => {
  test("becomes a token of its entry, unless something has changed since it was looked at", () => {
    const driver = new AuthDriver();
    expect(codeOf(() => driver.authenticate("root", "t", 1))).toBe("auth_not_enabled");
    driver.withRoot();
    const { revision } = driver.machine.auth;
    const index = driver.machine.appliedIndex + 1;
    driver.user = undefined; // nobody yet
    const { change } = driver.authenticate("root", "t", revision);
    expect(change).toEqual({ of: "token", user: "root", token: `t.${index}`, index });
    expect(driver.authenticate("root", "", revision).change).toMatchObject({ token: "" });
    expect(codeOf(() => driver.authenticate("none", "t", revision))).toBe("auth_failed");
    expect(codeOf(() => driver.authenticate("root", "t", revision - 1))).toBe("auth_old_revision");
  });

  test("is of no use to a user without one", () => {
    const driver = new AuthDriver().withRoot();
    driver.addUser("n", { options: { noPassword: true } });
    const { revision } = driver.machine.auth;
    expect(codeOf(() => driver.authenticate("n", "t", revision))).toBe("auth_failed");
  });
});

test("tokens are void with a password, a user, or all of it", () => {
  const driver = new AuthDriver().withRoot();
  expect(driver.addUser("u").change).toEqual({ of: "rules" });
  expect(driver.changePassword("u", "").change).toEqual({ of: "user", user: "u" });
  expect(driver.deleteUser("u").change).toEqual({ of: "user", user: "u" });
  expect(driver.disable().change).toEqual({ of: "everybody" });
});

test("all of it survives a restart, and is part of the hash", () => {
  const driver = new AuthDriver();
  const hashes = new Set([stateHash(driver.machine)]);
  const kept = (): void => {
    const hash = stateHash(driver.machine);
    driver.restart();
    verify(driver.machine);
    expect(stateHash(driver.machine)).toBe(hash);
    hashes.add(hash.replace(/^\d+-/, "")); // the index alone makes no difference
  };
  const steps = [
    () => driver.addUser("ü", { hashedPassword: "aGFzaA==" }),
    () => driver.changePassword("ü", "aGFzaDI="),
    () => driver.addRole("ß"),
    () => driver.permit("ß", "read", "a", "\0"),
    () => driver.permit("ß", "both", "a", "\0"),
    () => driver.grantRole("ü", "ß"),
    () => driver.withRoot(),
    () => driver.forbid("ß", "a", "\0"),
    () => driver.disable(),
  ];
  for (const step of steps) {
    step();
    kept();
  }
  expect(hashes.size).toBe(1 + steps.length);
  const { auth } = driver.machine;
  expect([auth.enabled, auth.user("ü")?.roles]).toEqual([false, ["ß"]]);
});

describe("what signs tokens", () => {
  test("is the first key that is drawn, also after a restart", () => {
    const driver = new AuthDriver();
    const draw = (byte: number): unknown => driver.drawKey(new Uint8Array(32).fill(byte));
    draw(1);
    draw(2);
    driver.restart();
    draw(3);
    expect(driver.machine.auth.signingKey?.revealBytes()).toEqual(Buffer.alloc(32, 1));
    expect(JSON.stringify(driver.machine.auth)).not.toContain("1,1");
    expect(driver.machine.auth.revision).toBe(1);
  });
});

describe("a cluster that begins with auth", () => {
  const begin = (driver: AuthDriver, hash: string): string => codeOf(() => driver.begin(hash));

  test("has root and nobody else, and asks everybody, from one command on", () => {
    const driver = new AuthDriver();
    expect(begin(driver, "aGFzaA==")).toBe("none");
    driver.restart();
    const { auth } = driver.machine;
    expect(auth.enabled).toBe(true);
    expect(auth.users().map(({ name, roles }) => [name, roles])).toEqual([["root", ["root"]]]);
    expect(Buffer.from(auth.user("root")?.password ?? []).toString()).toBe("hash");
    expect(auth.isUntouched).toBe(false);
    verify(driver.machine);
  });

  test("does so once: not again, nor where anybody has made users or roles", () => {
    const again = new AuthDriver();
    begin(again, "aGFzaA==");
    const before = stateHash(again.machine).replace(/^\d+-/, "");
    expect(begin(again, "b3RoZXI=")).toBe("user_empty"); // nobody may do what root may
    expect(stateHash(again.machine).replace(/^\d+-/, "")).toBe(before);
    again.user = "root";
    again.disable();
    again.user = undefined;
    expect(begin(again, "b3RoZXI=")).toBe("invalid_auth_management");
    const used = new AuthDriver();
    used.addRole("r");
    expect(begin(used, "aGFzaA==")).toBe("invalid_auth_management");
    expect(used.machine.auth.enabled).toBe(false);
    const broken = new AuthDriver();
    expect(begin(broken, "?")).toBe("no_password_user");
    expect(broken.machine.auth.isUntouched).toBe(true);
    verify(broken.machine);
  });
});

test("tokens of a user count from when he was made, or was given another password", () => {
  const driver = new AuthDriver().withRoot();
  driver.addUser("u");
  const { revision } = driver.machine.auth;
  const counts = (): boolean => driver.machine.auth.takesTokenOf("u", revision);
  expect(counts()).toBe(true);
  driver.addRole("r");
  driver.grantRole("u", "r");
  driver.restart();
  expect(counts()).toBe(true);
  driver.changePassword("u", "");
  driver.restart();
  expect(counts()).toBe(false);
  expect(driver.machine.auth.takesTokenOf("u", driver.machine.auth.revision)).toBe(true);
  const { revision: later } = driver.machine.auth;
  driver.disable();
  driver.restart();
  expect(driver.machine.auth.takesTokenOf("u", later)).toBe(false);
  expect(driver.machine.auth.takesTokenOf("root", later)).toBe(false);
});
