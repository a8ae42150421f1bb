/** The cluster's version and downgrades, by the rules of etcd 3.7.1 (etcdserver/version). */
import { describe, expect, test } from "bun:test";
import { DowngradeAction, DowngradeRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import type { Outcome } from "../../src/state/results.ts";
import { stateHash } from "../../src/state/state-hash.ts";
import { codeOf, Driver, encoded } from "./driver.ts";

const { ENABLE, CANCEL } = DowngradeAction;

function set(driver: Driver, version: string): Outcome {
  return driver.command(CommandKind.clusterVersion, encoded(DowngradeRequest, { version }));
}

function downgrade(driver: Driver, action: DowngradeAction, version = ""): Outcome {
  return driver.command(CommandKind.downgrade, encoded(DowngradeRequest, { action, version }));
}

function versionsOf({ machine }: Driver): (string | undefined)[] {
  return [machine.clusterVersion.version, machine.clusterVersion.downgradeTarget];
}

describe("the cluster's version", () => {
  test("is 3.7.0 until somebody says otherwise, and no revision", () => {
    const driver = new Driver();
    expect(versionsOf(driver)).toEqual(["3.7.0", undefined]);
    expect(set(driver, "3.6.12")).toEqual({ kind: "version", revision: 1 });
    expect(versionsOf(driver)).toEqual(["3.6.0", undefined]);
    driver.restart();
    expect(versionsOf(driver)).toEqual(["3.6.0", undefined]);
  });

  test("may be one minor lower, asked for with or without a patch level", () => {
    const { clusterVersion } = new Driver().machine;
    for (const text of ["3.6", "3.6.0", "3.6.99", "03.6", "3.6.0-alpha", "3.6.1-rc.1+x"]) {
      expect(clusterVersion.checkDowngrade(text)).toBe("3.6.0");
    }
    for (const text of ["3.5", "3.7", "3.7.1", "3.8", "2.6", "4.6"]) {
      expect(codeOf(() => clusterVersion.checkDowngrade(text))).toBe("invalid_downgrade_target");
    }
    for (const text of ["", "3", "x", "v3.6", "3.6.", "3.6-alpha", "3.6.x", "3.6.1.2", " 3.6"]) {
      expect(codeOf(() => clusterVersion.checkDowngrade(text))).toBe("downgrade_version_format");
    }
  });

  test("follows a downgrade, and comes back when it is called off", () => {
    const driver = new Driver();
    const next = (): string | undefined => driver.machine.clusterVersion.next("3.7.1");
    expect(next()).toBe(undefined);
    expect(downgrade(driver, ENABLE, "3.6")).toEqual({ kind: "version", revision: 1 });
    expect(versionsOf(driver)).toEqual(["3.7.0", "3.6.0"]);
    expect(downgrade(driver, ENABLE, "3.6")).toMatchObject({ code: "downgrade_in_progress" });
    expect(downgrade(driver, ENABLE, "3.5")).toMatchObject({ code: "invalid_downgrade_target" });
    expect(next()).toBe("3.6.0");
    set(driver, "3.6.0");
    expect(next()).toBe(undefined);
    expect(downgrade(driver, ENABLE, "3.6")).toMatchObject({ code: "invalid_downgrade_target" });
    expect(downgrade(driver, ENABLE, "3.5")).toMatchObject({ code: "downgrade_in_progress" });
    const hash = stateHash(driver.machine);
    driver.restart();
    expect(stateHash(driver.machine)).toBe(hash);
    expect(versionsOf(driver)).toEqual(["3.6.0", "3.6.0"]);
    downgrade(driver, CANCEL);
    downgrade(driver, CANCEL);
    expect(versionsOf(driver)).toEqual(["3.6.0", undefined]);
    expect(next()).toBe("3.7.0");
    driver.restart();
    expect(versionsOf(driver)).toEqual(["3.6.0", undefined]);
    expect(stateHash(driver.machine)).not.toBe(hash);
  });

  test("rises with what is spoken, and never falls for it", () => {
    const { clusterVersion } = new Driver().machine;
    expect(["3.8.2", "3.6.9", "4.0.0"].map((spoken) => clusterVersion.next(spoken))).toEqual([
      "3.8.0",
      undefined,
      undefined,
    ]);
  });
});
