/**
 * The network between members: delays, losses, repetitions and cuts of single directions. Whether
 * a link is cut is looked at when something leaves and again when it arrives. Who was removed is
 * refused, and told so (net/peers/admission.ts).
 */
import type { Prng } from "../../src/base/prng.ts";
import type { SimNode } from "./node.ts";
import type { Schedule } from "./schedule.ts";
import type { NetworkSettings } from "./settings.ts";
import { exponential, randomOf } from "./streams.ts";

/** One thing under way. */
export interface Parcel {
  readonly from: SimNode;
  readonly to: SimNode;
  /** It may arrive twice. */
  readonly repeatable: boolean;
  readonly deliver: () => void;
  /** It did not arrive, and the sender is told so. */
  readonly onLoss?: () => void;
}

export class Network {
  readonly #schedule: Schedule;
  readonly #random: Prng;
  readonly #cuts = new Map<string, number>();
  /** When the last of a link in order arrives. */
  readonly #lastArrival = new Map<string, number>();
  #settings: NetworkSettings;

  constructor(seed: number, schedule: Schedule, settings: NetworkSettings) {
    this.#schedule = schedule;
    this.#random = randomOf(seed, "network");
    this.#settings = settings;
  }

  get encoded(): boolean {
    return this.#settings.encoded;
  }

  /** Cuts one direction, until as many joins as cuts. */
  cut(from: SimNode, to: SimNode): void {
    const link = linkOf(from, to);
    this.#cuts.set(link, (this.#cuts.get(link) ?? 0) + 1);
  }

  join(from: SimNode, to: SimNode): void {
    const link = linkOf(from, to);
    this.#cuts.set(link, Math.max(0, (this.#cuts.get(link) ?? 0) - 1));
  }

  isCut(from: SimNode, to: SimNode): boolean {
    return (this.#cuts.get(linkOf(from, to)) ?? 0) > 0;
  }

  /** Ends all cuts and, from now on, all losses and repetitions. */
  heal(): void {
    this.#cuts.clear();
    this.#settings = { ...this.#settings, lost: 0, doubled: 0, ordered: true };
  }

  send(parcel: Parcel): void {
    const random = this.#random;
    const { lost, doubled } = this.#settings;
    if (this.isCut(parcel.from, parcel.to) || random.below(1000) < lost) {
      this.#lose(parcel);
      return;
    }
    this.#carry(parcel);
    if (parcel.repeatable && random.below(1000) < doubled) this.#carry(parcel);
  }

  /** How long a large thing takes on the way. */
  transferMs(): number {
    return exponential(this.#random, 10 * this.#settings.delayMs);
  }

  /** A drawn yes: as often as messages are lost, but ten times. */
  breaksOff(): boolean {
    return this.#random.below(1000) < 10 * this.#settings.lost;
  }

  #carry(parcel: Parcel): void {
    const { nowMs } = this.#schedule;
    let arrivalMs = nowMs + exponential(this.#random, this.#settings.delayMs);
    if (this.#settings.ordered) {
      const link = linkOf(parcel.from, parcel.to);
      arrivalMs = Math.max(arrivalMs, this.#lastArrival.get(link) ?? 0);
      this.#lastArrival.set(link, arrivalMs);
    }
    this.#schedule.at(arrivalMs, () => {
      if (this.isCut(parcel.from, parcel.to) || !parcel.to.up) this.#lose(parcel);
      else if (refuses(parcel.to, parcel.from)) parcel.from.process?.leave();
      else parcel.deliver();
    });
  }

  #lose({ onLoss }: Parcel): void {
    if (onLoss === undefined || !this.#random.chance(this.#settings.noticedPercent)) return;
    this.#schedule.after(exponential(this.#random, this.#settings.delayMs), onLoss);
  }
}

/** Whether a member refuses another, because it knows that it was removed, and will not forget. */
function refuses(target: SimNode, sender: SimNode): boolean {
  return target.process?.knowsRemoved(sender.id) === true;
}

function linkOf(from: SimNode, to: SimNode): string {
  return `${from.number}>${to.number}`;
}
