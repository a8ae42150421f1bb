/** The replicated part of leases, one test a sentence (surface 3.8). */
import { describe, expect, test } from "bun:test";
import { EMPTY_BYTES } from "../../src/base/bytes.ts";
import { Lease } from "../../src/state/key-entry.ts";
import {
  LEASE_TTL_SECONDS_MAX,
  Leases,
  leaseRecord,
  restoreLease,
} from "../../src/state/leases.ts";
import { verify } from "../../src/state/verify.ts";
import { codeOf, Driver } from "./driver.ts";

const IDS = [1n, -1n, 0x7fffffffffffffffn, -0x8000000000000000n, 300n];

describe("grant", () => {
  test("takes the id and TTL that were proposed", () => {
    const driver = new Driver();
    expect(driver.grant(7n, 30)).toEqual({
      kind: "leaseGrant",
      revision: 1,
      id: 7n,
      ttlSeconds: 30,
    });
    expect(driver.machine.lease(7n)).toEqual({ id: 7n, ttlSeconds: 30, keys: [] });
    expect([driver.machine.leaseCount, driver.machine.hasLease(8n)]).toEqual([1, false]);
  });

  test("refuses an id in use, the id 0 and a TTL over the maximum", () => {
    const driver = new Driver();
    driver.grant(7n);
    expect(codeOf(() => driver.grant(7n))).toBe("lease_exists");
    expect(codeOf(() => driver.grant(0n))).toBe("lease_not_found");
    expect(codeOf(() => driver.grant(8n, LEASE_TTL_SECONDS_MAX + 1))).toBe("lease_ttl_too_large");
    expect(codeOf(() => driver.grant(8n, LEASE_TTL_SECONDS_MAX))).toBe("none");
  });

  test("a too large TTL is named before an id in use", () => {
    const driver = new Driver();
    driver.grant(7n);
    expect(codeOf(() => driver.grant(7n, LEASE_TTL_SECONDS_MAX + 1))).toBe("lease_ttl_too_large");
  });

  test("every 64-bit id survives, in the key and over a restart", () => {
    const driver = new Driver();
    for (const id of IDS) {
      driver.grant(id, 60);
      driver.put(`k${id}`, "v", { lease: id });
    }
    driver.restart();
    verify(driver.machine);
    const seen: bigint[] = [];
    driver.machine.forEachLease((id, ttlSeconds) => {
      expect(ttlSeconds).toBe(60);
      seen.push(id);
    });
    expect(seen).toEqual(IDS);
    for (const id of IDS) expect(driver.machine.lease(id)?.keys).toEqual([`k${id}`]);
  });
});

describe("revoke", () => {
  test("an unknown lease is an error", () => {
    expect(codeOf(() => new Driver().revoke(1n))).toBe("lease_not_found");
  });

  test("deletes what is attached, in order of key and in one revision", () => {
    const driver = new Driver();
    driver.grant(1n);
    for (const key of ["c", "a", "b"]) driver.put(key, "", { lease: 1n });
    driver.put("d");
    driver.machine.takeRows();
    expect(driver.revoke(1n).revision).toBe(6);
    const rows = driver.machine.takeRows();
    expect(rows.map(({ key, revision, sub }) => [key, revision, sub])).toEqual([
      ["a", 6, 0],
      ["b", 6, 1],
      ["c", 6, 2],
    ]);
    expect(driver.contents()).toEqual(["d="]);
    expect(driver.machine.lease(1n)).toBeUndefined();
  });

  test("without keys it makes no revision", () => {
    const driver = new Driver();
    driver.grant(1n);
    expect(driver.revoke(1n).revision).toBe(1);
  });

  test("the id is free again, also after a restart", () => {
    const driver = new Driver();
    driver.grant(1n, 10);
    driver.revoke(1n);
    driver.restart();
    expect(driver.machine.leaseCount).toBe(0);
    driver.grant(1n, 20);
    driver.restart();
    expect(driver.machine.lease(1n)?.ttlSeconds).toBe(20);
  });

  test("keys of a lease come in order", () => {
    const driver = new Driver();
    driver.grant(1n);
    for (const key of ["b", "c", "a"]) driver.put(key, "", { lease: 1n });
    expect(driver.machine.lease(1n)?.keys).toEqual(["a", "b", "c"]);
  });
});

describe("expire", () => {
  const filled = (): Driver => {
    const driver = new Driver();
    for (const id of [1n, 2n, 3n]) {
      driver.grant(id);
      if (id !== 3n) driver.put(`k${id}`, "", { lease: id });
    }
    return driver;
  };

  test("revokes many; each that owns keys makes a revision of its own", () => {
    const driver = filled();
    const result = driver.expire([2n, 3n, 1n]);
    expect(result).toEqual({ kind: "leaseExpire", revision: 5, ids: [2n, 3n, 1n] });
    const rows = driver.machine.takeRows().slice(-2);
    expect(rows.map(({ key, revision }) => [key, revision])).toEqual([
      ["k2", 4],
      ["k1", 5],
    ]);
  });

  test("passes over leases that are gone, and ids named twice", () => {
    expect(filled().expire([1n, 9n, 1n]).ids).toEqual([1n]);
  });

  test("is refused when its term is not the entry's: the clock of another leader", () => {
    const driver = filled();
    driver.term = 2;
    expect(codeOf(() => driver.expire([1n], 1))).toBe("not_primary_lessor");
    expect(codeOf(() => driver.expire([1n], 3))).toBe("not_primary_lessor");
    expect(driver.machine.leaseCount).toBe(3);
    expect(codeOf(() => driver.expire([1n], 2))).toBe("none");
  });
});

test("the record of a lease holds what its last checkpoint said", () => {
  for (const remainingSeconds of [0, 1, 600]) {
    const lease = new Lease(-7n, 600, EMPTY_BYTES);
    lease.remainingSeconds = remainingSeconds;
    const { key, value = EMPTY_BYTES } = leaseRecord(lease);
    const restored = new Leases();
    restoreLease(restored, key, value);
    expect(restored.get(-7n)).toMatchObject({ id: -7n, ttlSeconds: 600, remainingSeconds });
  }
});
