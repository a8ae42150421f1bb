/**
 * Random membership: calls at any member, leaders that change, members that go and come, and now
 * and then a bad moment. Records and Raft's configuration agree everywhere, equal logs are equal
 * states, ids never come back, and every call is answered once.
 */
import { expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { Prng } from "../../src/base/prng.ts";
import type { Changed, Membership } from "../../src/cluster/membership.ts";
import { Member, MemberAddRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import { stateHash } from "../../src/state/state-hash.ts";
import { verify } from "../../src/state/verify.ts";
import { encoded } from "../state/driver.ts";
import {
  ELECTION_MS,
  FakeCluster,
  type FakeGroup,
  founder,
  memberId,
  REQUEST_TIMEOUT_MS,
} from "./fake-cluster.ts";

const STEPS = 300;

class Life {
  readonly rng: Prng;
  readonly at: FakeCluster;
  readonly answers: (Changed | AetherError | undefined)[] = [];
  /** Members that a group had once and has no more. */
  readonly gone = new Map<FakeGroup, Set<bigint>>();

  constructor(seed: number) {
    this.rng = new Prng(seed);
    const count = 1 + this.rng.below(4);
    this.at = new FakeCluster(Array.from({ length: count }, (_, i) => founder(BigInt(i + 1))));
  }

  step(): void {
    const { rng, at } = this;
    const what = rng.below(100);
    if (what < 45) this.#call();
    else if (what < 55) this.#publish();
    else if (what < 63) this.#changeLeader();
    else if (what < 73) this.#toggle();
    else if (what < 78) at.lead.readError = new AetherError("unhealthy");
    else if (what < 90) at.tick(1 + rng.below(ELECTION_MS));
    else at.run();
    for (const { ID } of at.lead.machine.members()) if (!at.groups.has(ID)) at.start(ID);
    this.#check();
  }

  /** Everybody is well; every call has its answer. */
  heal(): void {
    const { at } = this;
    at.down.clear();
    at.run();
    for (let i = 0; i < 3; i++) at.tick(REQUEST_TIMEOUT_MS);
    expect(this.answers.indexOf(undefined)).toBe(-1);
    this.#check();
    const { machine } = at.lead;
    for (const group of at.groups.values()) {
      if (group.appliedIndex === at.committedIndex) {
        expect(stateHash(group.machine)).toBe(stateHash(machine));
      }
    }
  }

  #call(): void {
    const { rng, at } = this;
    const slot = this.answers.push(undefined) - 1;
    const done = (answer: Changed | AetherError): void => {
      expect(this.answers[slot]).toBeUndefined();
      this.answers[slot] = answer;
    };
    const caller = rng.pick([...at.memberships.values()]) as Membership;
    const ID = this.#someId();
    const url = `http://h${rng.below(9)}:1`;
    const kind = rng.below(10);
    if (kind < 5) {
      const request = MemberAddRequest.create({ peerURLs: [url], isLearner: rng.chance(50) });
      caller.add(request, done);
    } else if (kind < 7) caller.remove({ ID }, done);
    else if (kind < 8) caller.update({ ID, peerURLs: [url] }, done);
    else caller.promote({ ID }, done);
    if (rng.chance(60)) at.run();
  }

  #someId(): bigint {
    const ids = this.at.lead.machine.members().map(({ ID }) => ID);
    return this.rng.chance(10) ? 77n : this.rng.pick(ids);
  }

  #publish(): void {
    const body = encoded(Member, { ID: this.#someId(), name: "n", clientURLs: ["http://c:1"] });
    this.at.decide(CommandKind.memberPublish, body);
  }

  #changeLeader(): void {
    const { rng, at } = this;
    const up = at.lead.configuration.voters.filter((id) => !at.down.has(id) && at.groups.has(id));
    if (up.length > 0) at.leader = rng.pick(up);
  }

  #toggle(): void {
    const { rng, at } = this;
    const id = rng.pick([...at.groups.keys()]);
    if (at.down.has(id)) at.down.delete(id);
    else if (id !== at.leader) at.down.add(id);
  }

  #check(): void {
    for (const group of this.at.groups.values()) {
      checkAgreement(group);
      const { machine } = group;
      const gone = this.gone.get(group) ?? new Set();
      this.gone.set(group, gone);
      for (const id of machine.removedMembers()) gone.add(id);
      for (const { ID } of machine.members()) expect(gone.has(ID)).toBe(false);
      expect(machine.removedMembers().length).toBe(gone.size);
    }
  }
}

/** Raft's configuration and the records name the same voters and learners. */
function checkAgreement({ machine, configuration }: FakeGroup): void {
  verify(machine);
  const ids = (isLearner: boolean): bigint[] =>
    machine.members().flatMap((each) => (each.isLearner === isLearner ? [each.ID] : []));
  expect(ids(false).map(memberId)).toEqual([...configuration.voters]);
  expect(ids(true).map(memberId)).toEqual([...configuration.learners]);
}

for (let seed = 1; seed <= 20; seed++) {
  test(`seed ${seed}`, () => {
    const life = new Life(seed);
    for (let i = 0; i < STEPS; i++) life.step();
    life.heal();
    const changed = life.answers.filter((answer) => !(answer instanceof AetherError)).length;
    expect(changed).toBeGreaterThan(0);
  });
}
