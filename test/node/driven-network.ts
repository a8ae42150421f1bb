/**
 * The network of a driven cluster: parcels wait, in the order in which they were sent, until the
 * test moves them. A link that is cut loses what is on it; one that is held keeps it.
 */

/** Something on its way from one member to another, both by number. */
export interface Parcel {
  readonly from: number;
  readonly to: number;
  /** A type of Raft's messages (a snapshot with its copy), "batch", "question", or "answer". */
  readonly what: string;
  readonly deliver: () => void;
  /** It is lost, and its sender may notice. */
  readonly lose: () => void;
}

export class DrivenNetwork {
  #parcels: Parcel[] = [];
  readonly #cut = new Set<string>();
  #isHeld: (parcel: Parcel) => boolean = () => false;

  send(parcel: Parcel): void {
    this.#parcels.push(parcel);
  }

  /** Parcels that wait. */
  get waiting(): readonly Parcel[] {
    return this.#parcels;
  }

  /** Whatever goes from `from` to `to` is lost. */
  cutOneWay(from: number, to: number): void {
    this.#cut.add(`${from}>${to}`);
  }

  /** The member hears nobody, and nobody hears it. */
  isolate(number: number, others: Iterable<number>): void {
    for (const other of others) {
      this.cutOneWay(number, other);
      this.cutOneWay(other, number);
    }
  }

  isCut(from: number, to: number): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  /** Every link works again; nothing is held. */
  heal(): void {
    this.#cut.clear();
    this.#isHeld = () => false;
  }

  /** Keeps such parcels where they are, until heal() or the next hold(). */
  hold(isHeld: (parcel: Parcel) => boolean): void {
    this.#isHeld = isHeld;
  }

  /** Loses the parcels that wait and are like that; how many there were. */
  lose(isLost: (parcel: Parcel) => boolean): number {
    const lost = this.#parcels.filter(isLost);
    this.#parcels = this.#parcels.filter((parcel) => !lost.includes(parcel));
    for (const parcel of lost) parcel.lose();
    return lost.length;
  }

  /** Moves the oldest parcel that may travel to its end; false if there is none. */
  move(mayTravel: (parcel: Parcel) => boolean): boolean {
    const at = this.#parcels.findIndex((parcel) => mayTravel(parcel) && !this.#isHeld(parcel));
    const parcel = this.#parcels[at];
    if (parcel === undefined) return false;
    this.#parcels.splice(at, 1);
    if (this.isCut(parcel.from, parcel.to)) parcel.lose();
    else parcel.deliver();
    return true;
  }
}
