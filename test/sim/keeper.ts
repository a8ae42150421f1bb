/**
 * A client that holds a lease as clients of locks and services do: it grants one, renews it each
 * third of its time wherever somebody answers, and begins again when it is lost.
 */
import type { Prng } from "../../src/base/prng.ts";
import type { Client } from "./client.ts";
import type { LeaseBook } from "./leases.ts";
import type { SimNode } from "./node.ts";
import { TTL_SECONDS_MAX } from "./request-maker.ts";
import { between, randomOf } from "./streams.ts";
import type { World } from "./world.ts";

export interface KeeperParts {
  readonly world: World;
  readonly leases: LeaseBook;
  readonly number: number;
  readonly addresses: () => readonly SimNode[];
  /** Asks on its behalf. */
  readonly client: Client;
}

interface Held {
  readonly id: string;
  readonly ttlSeconds: number;
}

export class Keeper {
  readonly #parts: KeeperParts;
  readonly #random: Prng;
  #stopped = false;

  constructor(parts: KeeperParts) {
    this.#parts = parts;
    this.#random = randomOf(parts.world.seed, `keeper ${parts.number}`);
  }

  start(): void {
    this.#grant();
  }

  /** Lets its lease run out. */
  stop(): void {
    this.#stopped = true;
  }

  #grant(): void {
    const ttlSeconds = between(this.#random, 1, TTL_SECONDS_MAX);
    const held = { id: this.#parts.leases.newId(), ttlSeconds };
    this.#ask({ kind: "grant", ...held }, ttlSeconds, (granted) => {
      if (granted) this.#renewLater(held);
      else this.#grantLater();
    });
  }

  #renewLater(held: Held): void {
    this.#parts.world.schedule.after((held.ttlSeconds * 1000) / 3, () => this.#renew(held));
  }

  #renew(held: Held): void {
    if (this.#stopped) return;
    this.#ask({ kind: "renew", id: held.id }, held.ttlSeconds, (lives) => {
      if (lives) this.#renewLater(held);
      else this.#grantLater();
    });
  }

  #grantLater(): void {
    const { tickMs, electionTicks } = this.#parts.world.settings;
    this.#parts.world.schedule.after(tickMs * electionTicks, () => this.#grant());
  }

  /** Asks somebody; when there was no answer, it goes on as if there had been a good one. */
  #ask(
    request: Parameters<Client["ask"]>[1],
    ttlSeconds: number,
    done: (lives: boolean) => void,
  ): void {
    if (this.#stopped) return;
    const known = this.#parts.addresses();
    if (known.length === 0) {
      this.#grantLater();
      return;
    }
    const node = this.#random.pick(known);
    this.#parts.client.ask(node, request, (ttlSeconds * 1000) / 3, (told) => {
      if (told.kind !== "answered") done(request.kind === "renew");
      else done(told.answer.kind !== "renew" || told.answer.ttlSeconds > 0);
    });
  }
}
