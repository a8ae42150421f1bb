/**
 * A whole sequence from a seed: which rooms it visits, in what mixture. The same seed, number of
 * steps and choice of rooms give the same sequence.
 */
import { Prng } from "../../../src/base/prng.ts";
import { type Body, type Call, call, type Step, type Value } from "../steps.ts";
import { KeyGenerator } from "./keys.ts";
import { LeaseGenerator } from "./leases.ts";
import { OperationGenerator } from "./operations.ts";
import { OwnerGenerator } from "./owners.ts";
import { UserGenerator } from "./users.ts";

/** What a sequence may visit, with its weight. */
export const ROOMS = {
  keys: 60,
  watch: 5,
  leases: 14,
  cluster: 4,
  maintenance: 6,
  owners: 4,
  together: 3,
  race: 1,
} as const;

export type Room = keyof typeof ROOMS | "auth";

export const ALL_ROOMS: readonly Room[] = [...(Object.keys(ROOMS) as Room[]), "auth"];

export interface SequenceOptions {
  readonly seed: number;
  readonly steps: number;
  readonly rooms: readonly Room[];
  /** For etcd 3.4: without what came later. */
  readonly isOld: boolean;
}

/** Of a sequence with auth, the share from which on it is on. */
const AUTH_FROM = 0.4;

export function sequenceOf(options: SequenceOptions): Step[] {
  return new SequenceGenerator(options).all();
}

class SequenceGenerator {
  readonly #options: SequenceOptions;
  readonly #prng: Prng;
  readonly #keys: KeyGenerator;
  readonly #leases: LeaseGenerator;
  readonly #operations: OperationGenerator;
  readonly #users: UserGenerator;
  readonly #owners: OwnerGenerator;
  readonly #rooms: readonly (keyof typeof ROOMS)[];

  constructor(options: SequenceOptions) {
    const { seed, isOld, rooms } = options;
    this.#options = options;
    this.#prng = new Prng(seed);
    const limits = { isOld, isHashed: !rooms.includes("owners") };
    this.#keys = new KeyGenerator(this.#prng, limits);
    this.#leases = new LeaseGenerator(this.#prng);
    this.#operations = new OperationGenerator(this.#prng, limits);
    this.#users = new UserGenerator(this.#prng, isOld);
    this.#owners = new OwnerGenerator(this.#prng);
    this.#rooms = rooms
      .filter((room) => room !== "auth")
      .flatMap((room) => Array.from({ length: ROOMS[room] }, () => room));
  }

  all(): Step[] {
    const { steps: count, rooms } = this.#options;
    const withAuth = rooms.includes("auth");
    const from = withAuth ? Math.floor(count * AUTH_FROM) : Number.POSITIVE_INFINITY;
    const steps: Step[] = [];
    while (steps.length < Math.min(from, count)) steps.push(...this.#next());
    if (!withAuth) return steps;
    steps.push(...this.#users.begin());
    while (steps.length < count) {
      if (rooms.includes("maintenance") && this.#prng.chance(1)) {
        const [raise, ...rest] = this.#shortage() as Call[];
        const between = rest.slice(0, -1).map((step) => this.#users.as(step));
        steps.push(asRoot(raise), ...between, asRoot(rest.at(-1)));
      } else if (this.#prng.chance(40)) steps.push(this.#users.next());
      else steps.push(this.#users.as(this.#plainCall()));
    }
    return [...steps, ...this.#users.end()];
  }

  #next(): Step[] {
    const room = this.#prng.pick(this.#rooms);
    switch (room) {
      case "watch":
        return [this.#keys.watch()];
      case "owners":
        return this.#owners.next();
      case "together":
        return [{ do: "together", calls: this.#reads() }];
      case "race":
        return [{ do: "race", keys: this.#raceKeys() }];
      case "maintenance":
        return this.#prng.chance(10) ? this.#shortage() : [this.#operations.maintenance()];
      default:
        return [this.#callOf(room)];
    }
  }

  /** Some steps while there is no room. */
  #shortage(): Step[] {
    const { raise, lift } = this.#operations.shortage();
    const between = Array.from({ length: 4 + this.#prng.below(8) }, () => this.#plainCall());
    return [raise, ...between, lift];
  }

  #callOf(room: "keys" | "leases" | "cluster" | "maintenance"): Call {
    if (room === "keys") return this.#keys.next();
    if (room === "leases") return this.#leases.next();
    return room === "cluster" ? this.#operations.cluster() : this.#operations.maintenance();
  }

  /** Nothing that waits, and no streams that live on. */
  #plainCall(): Call {
    const rooms = ["keys", "keys", "keys", "leases", "cluster", "maintenance"] as const;
    const allowed = rooms.filter((room) => this.#options.rooms.includes(room));
    for (;;) {
      const drawn = this.#callOf(this.#prng.pick(allowed));
      if (!namesNothing(drawn.bodies)) return drawn;
    }
  }

  #reads(): Call[] {
    const count = 2 + this.#prng.below(30);
    return Array.from({ length: count }, () => call("KV/Range", this.#keys.range()));
  }

  #raceKeys(): string[] {
    return Array.from({ length: 2 + this.#prng.below(20) }, (_, index) => `race/${index}`);
  }
}

function asRoot(step: Call | undefined): Call {
  if (step === undefined) throw new Error("a shortage begins and ends");
  return { ...step, token: "token-root" };
}

/**
 * Whether some range in it ends before it begins: whoever may read where it begins may read nothing
 * there, says Aether; etcd looks for it in a tree, and what it finds depends on the tree's shape.
 */
function namesNothing(value: Value): boolean {
  if (Array.isArray(value)) return value.some(namesNothing);
  if (typeof value !== "object") return false;
  const { key, rangeEnd } = value as Body;
  const isRange = typeof key === "string" && typeof rangeEnd === "string";
  if (isRange && rangeEnd !== "\0" && rangeEnd <= key) return true;
  return Object.values(value).some(namesNothing);
}
