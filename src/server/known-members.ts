/**
 * Whom this member speaks and listens to: the members of its state, and a leader that was removed
 * for as long as it leads. Its removal counts here before it counts for the others; were it cut off
 * at once, it could neither bring them the news nor answer whoever asked for it (raft/retire.ts).
 */
import type { Member } from "../proto/gen/etcdserverpb.ts";

export interface KnownMembersParts {
  readonly group: {
    /** NOBODY while unknown. */
    readonly leader: bigint;
    readonly machine: {
      members(): readonly Member[];
      removedMembers(): readonly bigint[];
    };
  };
  /** Whom a member asks that has no state yet. */
  readonly asked: readonly Member[];
  readonly setMembers: (members: readonly Member[], removed: readonly bigint[]) => void;
}

export class KnownMembers {
  readonly #parts: KnownMembersParts;
  #known: readonly Member[];
  /** The leader that was removed. */
  #retiring: Member | undefined;

  constructor(parts: KnownMembersParts) {
    this.#parts = parts;
    this.#known = parts.asked;
  }

  /** The members have changed. */
  changed(): void {
    const { group, setMembers } = this.#parts;
    const members = group.machine.members();
    if (members.length > 0) {
      const leads = ({ ID }: Member): boolean => ID === group.leader;
      this.#retiring = members.some(leads) ? undefined : this.#known.find(leads);
      this.#known = this.#retiring === undefined ? members : [...members, this.#retiring];
    }
    const removed = group.machine.removedMembers();
    setMembers(
      this.#known,
      removed.filter((id) => id !== this.#retiring?.ID),
    );
  }

  /** To be called with each tick of the group. */
  tick(): void {
    const retiring = this.#retiring;
    if (retiring !== undefined && this.#parts.group.leader !== retiring.ID) this.changed();
  }
}
