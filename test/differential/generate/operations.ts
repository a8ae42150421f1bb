/** Cluster and Maintenance: who the members are, learners, alarms, hashes, sizes. */
import type { Prng } from "../../../src/base/prng.ts";
import { type Body, type Call, call, type Open } from "../steps.ts";
import type { Limits } from "./keys.ts";

const OWN: Open = { $: "own", what: "member" };
const OWN_URL: Open = { $: "own", what: "peerUrl" };
const LEARNER: Open = { $: "saved", name: "member", path: "member.ID", otherwise: 12345 };
const BAD_URLS = [
  "",
  "127.0.0.1:1",
  "http://127.0.0.1",
  "ftp://127.0.0.1:1",
  "http://127.0.0.1:1/x",
];

const ALARMS = { none: 0, noSpace: 1, corrupt: 2 };
const ACTIONS = { get: 0, activate: 1, deactivate: 2 };

export class OperationGenerator {
  readonly #prng: Prng;
  readonly #isOld: boolean;
  readonly #isHashed: boolean;
  #port = 0;

  constructor(prng: Prng, options: Limits) {
    this.#prng = prng;
    this.#isOld = options.isOld;
    this.#isHashed = options.isHashed;
  }

  /** One of the cluster's. A single voter stays alone: with a second there is no majority. */
  cluster(): Call {
    const roll = this.#prng.below(100);
    const ID = this.#prng.pick([LEARNER, LEARNER, 0, 12345, OWN]);
    if (roll < 40) return call("Cluster/MemberList", this.#isOld ? {} : this.#linearizable());
    if (roll < 60) return this.#add();
    if (roll < 72) {
      return call("Cluster/MemberRemove", { ID: ID === OWN ? LEARNER : ID });
    }
    if (roll < 86) return call("Cluster/MemberPromote", { ID });
    // etcd takes any text for the URLs of a member that it knows, and dies of those that are none.
    if (this.#prng.chance(80)) {
      const peerURLs = [this.#prng.chance(80) ? this.#stranger() : OWN_URL];
      return call("Cluster/MemberUpdate", { ID: ID === OWN ? LEARNER : ID, peerURLs });
    }
    return call("Cluster/MemberUpdate", { ID: 12345, peerURLs: this.#urls() });
  }

  maintenance(): Call {
    const roll = this.#prng.below(100);
    if (roll < 30) return call("Maintenance/Status", {});
    if (roll < 50) return this.#alarm();
    if (roll < 58) return call("Maintenance/Hash", {});
    if (roll < 75 && this.#isHashed) {
      const revision: Open | number = this.#prng.pick([
        0,
        -1,
        { $: "revision", plus: 0 },
        { $: "revision", plus: 3 },
        { $: "revision", plus: -2, min: 1 },
        { $: "compact", plus: 0 },
        { $: "compact", plus: -1 },
      ]);
      return call("Maintenance/HashKV", { revision });
    }
    if (roll < 80) return call("Maintenance/Defragment", {});
    if (roll < 85)
      return call("Maintenance/MoveLeader", { targetID: this.#prng.pick([OWN, 0, 5]) });
    if (roll < 90) return call("Maintenance/Snapshot", {});
    return this.#isOld ? call("Maintenance/Status", {}) : this.#downgrade();
  }

  #linearizable(): Body {
    return { linearizable: this.#prng.chance(50) };
  }

  #add(): Call {
    const body = { peerURLs: this.#urls(), isLearner: true };
    return call("Cluster/MemberAdd", body, { save: "member" });
  }

  #urls(): (string | Open)[] {
    const roll = this.#prng.below(10);
    if (roll === 0) return [];
    if (roll === 1) return [this.#prng.pick(BAD_URLS)];
    if (roll === 2) return [OWN_URL];
    if (roll === 3) return [this.#stranger(), this.#stranger()];
    if (roll === 4) return [this.#stranger(), this.#prng.pick(BAD_URLS)];
    return [this.#stranger()];
  }

  /**
   * Nobody listens there; another one each time, for etcd makes a member's id of its URLs and the
   * time in seconds, and knows one again that was removed.
   */
  #stranger(): string {
    this.#port += 1;
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Raises an alarm, and lifts it: while there is one, nothing that takes room is written. */
  shortage(): { readonly raise: Call; readonly lift: Call } {
    const memberID = this.#prng.pick<Open | number>([0, 5, OWN]);
    const alarm = (action: number): Call =>
      call("Maintenance/Alarm", { action, memberID, alarm: ALARMS.noSpace });
    return { raise: alarm(ACTIONS.activate), lift: alarm(ACTIONS.deactivate) };
  }

  #alarm(): Call {
    const memberID = this.#prng.pick<Open | number>([0, 5, OWN]);
    const action = this.#prng.pick([ACTIONS.get, ACTIONS.deactivate, ACTIONS.deactivate]);
    const alarm = this.#prng.pick([ALARMS.none, ALARMS.noSpace, ALARMS.noSpace, ALARMS.corrupt]);
    return call("Maintenance/Alarm", { action, memberID, alarm });
  }

  /** VALIDATE and CANCEL: nothing is downgraded. */
  #downgrade(): Call {
    const version = this.#prng.pick(["", "x", "3.6", "3.6.0", "3.5", "3.5.0", "3.8.0", "v3.6.0"]);
    return call("Maintenance/Downgrade", { action: this.#prng.pick([0, 0, 2, 7]), version });
  }
}
