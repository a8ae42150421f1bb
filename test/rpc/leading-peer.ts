/**
 * The other member of a group of two, which leads: it takes what is proposed, confirms reads, and
 * leaves questions about leases to the test.
 */
import { encodeChange } from "../../src/raft/membership/codec.ts";
import type { Message } from "../../src/raft/message.ts";
import type { Entry, MemberId } from "../../src/raft/types.ts";
import type { CommandKind } from "../../src/state/command.ts";
import { MEMBER, PEER } from "../node/driven-group.ts";
import { batchOf } from "../state/driver.ts";
import type { Harness } from "./harness.ts";

const LEARNER = 0x99n as MemberId;

/** The term of the founding is 1. */
const TERM = 2;

export class LeadingPeer {
  readonly #harness: Harness;
  readonly #entries: Entry[] = [];
  #taken = 0;

  /** Leads from now on. */
  constructor(harness: Harness) {
    this.#harness = harness;
    this.#append("noop", new Uint8Array(0));
    this.settle();
  }

  /** Obeys until nothing moves. */
  settle(): void {
    const { driven } = this.#harness;
    do driven.settle();
    while (this.#obey());
  }

  /** A command that somebody else proposed. */
  command(kind: CommandKind, body: Uint8Array): void {
    this.#append("normal", batchOf([{ kind, body }]));
    this.settle();
  }

  /** A command about members, which comes with a change of Raft's configuration: a learner. */
  change(kind: CommandKind, body: Uint8Array): void {
    const context = batchOf([{ kind, body }]);
    const steps = [{ action: "add-learner", id: LEARNER }] as const;
    this.#append("config", encodeChange({ transition: "auto", steps, context }));
    this.settle();
  }

  /** Answers what was sent; false if there was nothing. */
  #obey(): boolean {
    const { sent, transport } = this.#harness.driven;
    const messages = sent.splice(0);
    for (const message of messages) this.#answer(message);
    const proposals = transport.proposals.slice(this.#taken);
    this.#taken += proposals.length;
    for (const { payload } of proposals) this.#append("normal", payload);
    return messages.length + proposals.length > 0;
  }

  #answer(message: Message): void {
    if (message.type !== "read-index") return;
    const { sequence } = message;
    const index = this.#last;
    this.#say({ type: "read-index-response", ...this.#envelope, sequence, index });
  }

  get #last(): number {
    return 1 + this.#entries.length;
  }

  readonly #envelope = { from: PEER, to: MEMBER, term: TERM };

  #append(kind: Entry["kind"], payload: Uint8Array): void {
    const index = this.#last + 1;
    const entry: Entry = { index, term: TERM, kind, payload };
    const prevTerm = this.#entries.at(-1)?.term ?? 1;
    this.#entries.push(entry);
    const place = { prevIndex: index - 1, prevTerm, commit: index, entries: [entry] };
    this.#say({ type: "append", ...this.#envelope, ...place });
  }

  #say(message: Message): void {
    this.#harness.driven.group.receive([message]);
  }
}
