/** Members as replicated records (surface 3.11), one test a sentence. */
import { describe, expect, test } from "bun:test";
import type { Member } from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import { StateMachine } from "../../src/state/machine.ts";
import { stateHash } from "../../src/state/state-hash.ts";
import { verify } from "../../src/state/verify.ts";
import { codeOf, Driver } from "./driver.ts";
import { MemoryHistory } from "./memory-history.ts";

const HIGH = 0xcdf818194e3a8c32n; // above 2^63: ids are unsigned

function member(ID: bigint, more: Partial<Member> = {}): Member {
  const peerURLs = [`http://m${ID}:2380`];
  return { ID, name: "", peerURLs, clientURLs: [], isLearner: false, ...more };
}

/** A machine of three founders: 1, 2 and HIGH. */
function founded(): Driver {
  const driver = new Driver();
  driver.machine.found([member(HIGH), member(1n), member(2n)], 1, 1);
  return driver;
}

function ids(driver: Driver): bigint[] {
  return driver.machine.members().map(({ ID }) => ID);
}

describe("founding", () => {
  test("puts the founders where the log begins", () => {
    const { machine } = founded();
    expect(machine.members()).toEqual([member(1n), member(2n), member(HIGH)]);
    expect([machine.appliedIndex, machine.appliedTerm, machine.revision]).toEqual([1, 1, 1]);
    const { records, appliedIndex } = machine.takeBatch();
    expect([records.map(({ space }) => space), appliedIndex]).toEqual([Array(3).fill("member"), 1]);
    verify(machine);
  });

  test("is for a new machine", () => {
    expect(() => founded().machine.found([member(7n)], 2, 1)).toThrow("new machine");
  });

  test("is the same for all, in whatever order the founders are named", () => {
    const other = new StateMachine(new MemoryHistory());
    other.found([member(2n), member(1n), member(HIGH)], 1, 1);
    expect(stateHash(other)).toBe(stateHash(founded().machine));
  });
});

describe("adding", () => {
  test("takes the member as it is named, and makes no revision", () => {
    const driver = founded();
    const learner = member(3n, { isLearner: true });
    const result = driver.addMember(3n, { isLearner: true });
    expect(result).toEqual({ kind: "member", revision: 1, member: learner });
    expect(driver.machine.member(3n)).toEqual(learner);
    expect(driver.machine.takeRows()).toEqual([]);
    expect(ids(driver)).toEqual([1n, 2n, 3n, HIGH]);
  });

  test("refuses an id in use, one that was removed, and 0", () => {
    const driver = founded();
    driver.removeMember(2n);
    expect(codeOf(() => driver.addMember(1n, { peerURLs: ["http://new:1"] }))).toBe(
      "member_exists",
    );
    expect(codeOf(() => driver.addMember(2n))).toBe("member_not_found");
    expect(codeOf(() => driver.addMember(0n))).toBe("invalid_argument");
    expect(ids(driver)).toEqual([1n, HIGH]);
  });

  test("refuses a peer URL of another member, and gives back those of a removed one", () => {
    const driver = founded();
    const peerURLs = ["http://new:1", "http://m2:2380"];
    expect(codeOf(() => driver.addMember(9n, { peerURLs }))).toBe("peer_urls_exist");
    driver.removeMember(2n);
    expect(codeOf(() => driver.addMember(9n, { peerURLs }))).toBe("none");
  });
});

describe("removing", () => {
  test("leaves a tombstone", () => {
    const driver = founded();
    expect(driver.removeMember(HIGH)).toEqual({ kind: "member", revision: 1, member: undefined });
    driver.removeMember(1n);
    const { machine } = driver;
    expect([ids(driver), machine.removedMembers()]).toEqual([[2n], [1n, HIGH]]);
    expect([machine.isRemoved(HIGH), machine.isRemoved(2n)]).toEqual([true, false]);
    expect(machine.member(HIGH)).toBeUndefined();
  });

  test("an unknown member, or a second time, is an error", () => {
    const driver = founded();
    driver.removeMember(2n);
    expect(codeOf(() => driver.removeMember(2n))).toBe("member_not_found");
    expect(codeOf(() => driver.removeMember(77n))).toBe("member_not_found");
    expect(driver.machine.removedMembers()).toEqual([2n]);
  });
});

describe("promoting", () => {
  test("lets a learner vote and keeps the rest", () => {
    const driver = founded();
    driver.addMember(3n, { isLearner: true });
    driver.publishMember(3n, "three", "http://c3:2379");
    const voter = member(3n, { name: "three", clientURLs: ["http://c3:2379"] });
    expect(driver.promoteMember(3n).member).toEqual(voter);
    expect(codeOf(() => driver.promoteMember(3n))).toBe("not_a_learner");
  });

  test("an unknown or removed member is an error", () => {
    const driver = founded();
    driver.removeMember(2n);
    for (const id of [2n, 77n]) {
      expect(codeOf(() => driver.promoteMember(id))).toBe("member_not_found");
    }
  });
});

describe("updating", () => {
  test("changes the peer URLs and nothing else, the learner flag neither (etcd 21736)", () => {
    const driver = founded();
    driver.addMember(3n, { isLearner: true });
    driver.publishMember(3n, "three", "http://c3:2379");
    const peerURLs = ["http://moved:1", "http://moved:2"];
    expect(driver.updateMember(3n, ...peerURLs).member).toEqual({
      ID: 3n,
      name: "three",
      peerURLs,
      clientURLs: ["http://c3:2379"],
      isLearner: true,
    });
  });

  test("refuses another member's peer URL, not its own", () => {
    const driver = founded();
    const update = (...urls: string[]): unknown => codeOf(() => driver.updateMember(1n, ...urls));
    expect(update("http://m2:2380")).toBe("peer_urls_exist");
    expect(update("http://m1:2380", "http://m1:2381")).toBe("none");
  });

  test("an unknown member is an error", () => {
    expect(codeOf(() => founded().updateMember(77n, "http://x:1"))).toBe("member_not_found");
  });
});

describe("publishing", () => {
  test("sets name and client URLs only", () => {
    const driver = founded();
    const published = { ...member(1n), name: "one", clientURLs: ["http://c1:2379"] };
    expect(driver.publishMember(1n, "one", "http://c1:2379").member).toEqual(published);
    expect(driver.machine.member(1n)).toEqual(published);
  });

  test("an unknown or removed member is an error", () => {
    const driver = founded();
    driver.removeMember(2n);
    for (const id of [2n, 77n]) {
      expect(codeOf(() => driver.publishMember(id, "x"))).toBe("member_not_found");
    }
  });
});

describe("the records", () => {
  test("bring everything back", () => {
    const driver = founded();
    driver.addMember(3n, { isLearner: true });
    driver.publishMember(1n, "one", "http://c1:2379");
    driver.removeMember(2n);
    driver.removeMember(HIGH);
    const { machine } = driver;
    const before = [machine.members(), machine.removedMembers(), stateHash(machine)];
    driver.restart();
    verify(driver.machine);
    const after = driver.machine;
    expect([after.members(), after.removedMembers(), stateHash(after)]).toEqual(before);
    expect(codeOf(() => driver.addMember(2n))).toBe("member_not_found");
  });

  test("a list that was handed out does not change", () => {
    const driver = founded();
    const members = driver.machine.members();
    driver.updateMember(1n, "http://moved:1");
    driver.removeMember(2n);
    expect(members).toEqual([member(1n), member(2n), member(HIGH)]);
  });

  test("a command that cannot be decoded changes nothing", () => {
    const driver = founded();
    const before = driver.machine.members();
    for (const kind of [CommandKind.memberAdd, CommandKind.memberRemove, CommandKind.alarm]) {
      const outcome = driver.command(kind, new Uint8Array([0x0a, 0xff]));
      expect(outcome).toMatchObject({ code: "invalid_argument" });
    }
    expect(driver.machine.members()).toBe(before);
  });

  test("a kind that nobody knows stops the machine", () => {
    expect(() => new Driver().command(99 as CommandKind, new Uint8Array(0))).toThrow("unknown");
  });

  test("every difference shows in the hash", () => {
    const hashes = new Set<string>();
    for (const change of [
      (d: Driver) => d.addMember(3n),
      (d: Driver) => d.addMember(3n, { isLearner: true }),
      (d: Driver) => d.addMember(3n, { peerURLs: ["http://x:1", "http://y:1"] }),
      (d: Driver) => d.addMember(3n, { peerURLs: ["http://x:1"], clientURLs: ["http://y:1"] }),
      (d: Driver) => d.removeMember(2n),
      (d: Driver) => d.publishMember(2n, "two"),
      (d: Driver) => d.raiseAlarm(2n, 1),
      (d: Driver) => d.raiseAlarm(1n, 1),
      (d: Driver) => d.raiseAlarm(1n, 2),
      (d: Driver) => d.put("same-index"),
    ]) {
      const driver = founded();
      change(driver);
      hashes.add(stateHash(driver.machine));
    }
    expect(hashes.size).toBe(10);
  });
});
