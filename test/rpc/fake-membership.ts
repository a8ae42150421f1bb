/** Membership as the services see it: notes what it is asked, answers what the test says. */
import { AetherError } from "../../src/base/errors.ts";
import type { Member } from "../../src/proto/gen/etcdserverpb.ts";
import type { ChangedDone, ChangedMembers, MembershipCalls } from "../../src/rpc/ports.ts";

export class FakeMembership implements MembershipCalls {
  /** [operation, request], in order. */
  readonly asked: [string, unknown][] = [];
  answer: ChangedMembers | AetherError = { member: undefined, members: [] };
  /** Set: nothing is answered before the test calls it. */
  held: (() => void)[] | undefined = undefined;

  add = this.#change("add");
  remove = this.#change("remove");
  update = this.#change("update");
  promote = this.#change("promote");

  list(linearizable: boolean, done: (answer: readonly Member[] | AetherError) => void): void {
    this.asked.push(["list", linearizable]);
    this.#say((answer) => done(answer instanceof AetherError ? answer : answer.members));
  }

  moveLeader(target: bigint, done: (error: AetherError | undefined) => void): void {
    this.asked.push(["moveLeader", target]);
    this.#say((answer) => done(answer instanceof AetherError ? answer : undefined));
  }

  #change(operation: string): (request: unknown, done: ChangedDone) => void {
    return (request, done) => {
      this.asked.push([operation, request]);
      this.#say(done);
    };
  }

  #say(done: (answer: ChangedMembers | AetherError) => void): void {
    const { answer } = this;
    if (this.held === undefined) done(answer);
    else this.held.push(() => done(answer));
  }
}
