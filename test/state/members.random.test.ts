/**
 * Random membership and alarms, against a simple picture of them: two machines agree, one of
 * which is restarted all the time; what fails changes nothing; ids never come back.
 */
import { expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { Prng } from "../../src/base/prng.ts";
import {
  AlarmRequest,
  Member,
  MemberPromoteRequest,
  MemberRemoveRequest,
  MemberUpdateRequest,
  PutRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import { stateHash } from "../../src/state/state-hash.ts";
import { verify } from "../../src/state/verify.ts";
import { type Command, Driver, encoded } from "./driver.ts";

const STEPS = 400;

function randomCommand(rng: Prng): Command {
  const ID = BigInt(rng.below(12)) << BigInt(rng.chance(20) ? 60 : 0);
  const urls = (): string[] =>
    Array.from({ length: 1 + rng.below(2) }, () => `http://h${rng.below(20)}`);
  switch (rng.below(8)) {
    case 0:
    case 1: {
      const added = { ID, peerURLs: urls(), isLearner: rng.chance(40) };
      return { kind: CommandKind.memberAdd, body: encoded(Member, added) };
    }
    case 2:
      return { kind: CommandKind.memberRemove, body: encoded(MemberRemoveRequest, { ID }) };
    case 3:
      return { kind: CommandKind.memberPromote, body: encoded(MemberPromoteRequest, { ID }) };
    case 4: {
      const body = encoded(MemberUpdateRequest, { ID, peerURLs: urls() });
      return { kind: CommandKind.memberUpdate, body };
    }
    case 5: {
      const body = encoded(Member, { ID, name: `n${rng.below(5)}`, clientURLs: urls() });
      return { kind: CommandKind.memberPublish, body };
    }
    case 6: {
      const request = { action: 1 + rng.below(2), memberID: ID, alarm: rng.below(4) };
      return { kind: CommandKind.alarm, body: encoded(AlarmRequest, request) };
    }
    default:
      return { kind: CommandKind.put, body: encoded(PutRequest, { key: "k" }) };
  }
}

/** Everything that a command may change, as one value. */
function picture({ machine }: Driver): unknown {
  return [machine.members(), machine.removedMembers(), machine.alarms(), machine.revision];
}

for (let seed = 1; seed <= 12; seed++) {
  test(`seed ${seed}`, () => {
    const rng = new Prng(seed);
    const steady = new Driver();
    const restarted = new Driver();
    const gone = new Set<bigint>();
    let failures = 0;
    for (let step = 0; step < STEPS; step++) {
      const { kind, body } = randomCommand(rng);
      const members = steady.machine.members().map(({ ID }) => ID);
      const before = picture(steady);
      const outcome = steady.command(kind, body);
      expect(restarted.command(kind, body)).toEqual(outcome);
      if (outcome instanceof AetherError) {
        failures++;
        expect(picture(steady)).toEqual(before);
      }
      const now = new Set(steady.machine.members().map(({ ID }) => ID));
      for (const id of members) if (!now.has(id)) gone.add(id);
      for (const id of now) expect(gone.has(id)).toBe(false);
      expect(new Set(steady.machine.removedMembers())).toEqual(gone);
      if (rng.chance(10)) steady.flush();
      if (rng.chance(10)) restarted.restart();
      verify(steady.machine);
      expect(stateHash(restarted.machine)).toBe(stateHash(steady.machine));
    }
    expect(failures).toBeGreaterThan(STEPS / 20);
    expect(failures).toBeLessThan(STEPS);
  });
}
