/** The way of one process to the other members, over the simulated network. */
import { ByteWriter } from "../../src/base/bytes.ts";
import { AetherError } from "../../src/base/errors.ts";
import type { ChangeDone } from "../../src/cluster/ports.ts";
import { decodeMessages, encodeMessage } from "../../src/net/peers/message-codec.ts";
import type { Group } from "../../src/node/group.ts";
import type { HeldState, LeaseAnswer, Transport } from "../../src/node/ports.ts";
import type { MemberChangePeerRequest } from "../../src/proto/gen/aether.v1.ts";
import type { Message, MessageOf } from "../../src/raft/message.ts";
import type { Entry, MemberId } from "../../src/raft/types.ts";
import { batchSequence } from "../../src/state/command.ts";
import { MemoryHeldState } from "../../src/storage/memory-state.ts";
import type { SimNode } from "./node.ts";
import type { SimProcess } from "./process.ts";

/** A question to another member is given up after so many ticks, a snapshot after these. */
const CALL_TICKS = 20;
const SNAPSHOT_TICKS = 60;

/** Asks a member for something on behalf of another. */
type Question = (group: Group, ids: readonly bigint[], answer: LeaseAnswer) => void;

export class SimTransport implements Transport {
  readonly #process: SimProcess;
  readonly #sending = new Set<MemberId>();

  constructor(process: SimProcess) {
    this.#process = process;
  }

  send(messages: readonly Message[]): void {
    this.#process.reach("send");
    const byPeer = new Map<MemberId, Message[]>();
    for (const message of messages) {
      this.#process.observer.onSend(this.#process, message);
      const frame = byPeer.get(message.to);
      if (frame === undefined) byPeer.set(message.to, [message]);
      else frame.push(message);
    }
    for (const [to, frame] of byPeer) this.#sendFrame(to, frame);
    this.#process.reach("sent");
  }

  propose(to: MemberId, term: number, payload: Uint8Array): boolean {
    const process = this.#process;
    process.reach("forward");
    const { node, world } = process;
    const peer = world.nodes.get(to);
    if (peer === undefined) return false;
    if (world.network.isCut(node, peer) && process.random.chance(50)) return false;
    const bytes = Buffer.from(payload);
    const sequence = batchSequence(bytes);
    world.trace.note("forward", node.number, peer.number, term);
    this.#toPeer(peer, false, (group) => {
      group.receiveProposal(term, bytes, (error) => {
        this.#back(peer, false, () => process.group.proposalRefused(sequence, error));
      });
    });
    return true;
  }

  sendSnapshot(
    message: MessageOf<"snapshot">,
    held: HeldState,
    onEnd: (arrived: boolean) => void,
  ): void {
    const process = this.#process;
    process.reach("send snapshot");
    const { world, node } = process;
    const peer = world.nodes.get(message.to);
    const end = once((arrived: boolean) => {
      this.#sending.delete(message.to);
      process.enter("snapshot end", () => onEnd(arrived));
    });
    const { network, schedule, settings } = world;
    if (peer === undefined || this.#sending.has(message.to)) {
      schedule.after(0, () => process.enter("snapshot end", () => onEnd(false)));
      return;
    }
    if (!(held instanceof MemoryHeldState)) throw new Error("memory holds memory");
    this.#sending.add(message.to);
    world.trace.note("snapshot", node.number, peer.number, message.meta.index);
    const transferMs = network.transferMs();
    if (network.breaksOff()) {
      schedule.after(transferMs, () => end(false));
      return;
    }
    schedule.after(SNAPSHOT_TICKS * settings.tickMs, () => end(false));
    schedule.after(transferMs, () => {
      const deliver = (answer: (arrived: boolean) => void): void => {
        network.send({
          from: node,
          to: peer,
          repeatable: false,
          deliver: () => receive(peer, message, held, answer),
          onLoss: () => end(false),
        });
      };
      deliver((arrived) => this.#back(peer, false, () => end(arrived)));
      if (process.random.chance(10)) deliver(() => {});
    });
  }

  renewLeases(to: MemberId, ids: readonly bigint[], onAnswer: LeaseAnswer): void {
    this.#ask(to, ids, onAnswer, (group, asked, answer) =>
      group.leaseCalls.renewHere(asked, answer),
    );
  }

  leaseLives(to: MemberId, ids: readonly bigint[], onAnswer: LeaseAnswer): void {
    this.#ask(to, ids, onAnswer, (group, asked, answer) =>
      group.leaseCalls.livesHere(asked, answer),
    );
  }

  /** Asks `to` to change the membership. */
  forwardChange(to: MemberId, request: MemberChangePeerRequest, onAnswer: ChangeDone): void {
    const process = this.#process;
    process.reach("forward change");
    const { world } = process;
    const peer = world.nodes.get(to);
    const answer = once((result: Parameters<ChangeDone>[0]) => {
      process.enter("change answer", () => onAnswer(result));
    });
    const gone = (): void => answer(new AetherError("unhealthy", "no answer"));
    world.schedule.after(CALL_TICKS * world.settings.tickMs, gone);
    if (peer === undefined) return;
    this.#toPeer(peer, false, (_, { membership }) => {
      membership.changeHere(request, (result) => this.#back(peer, false, () => answer(result)));
    });
  }

  #sendFrame(to: MemberId, frame: readonly Message[]): void {
    const process = this.#process;
    const { node, world } = process;
    const peer = world.nodes.get(to);
    if (peer === undefined) return;
    const { trace, network } = world;
    trace.note("send", node.number, peer.number, frame.length, () => {
      return frame.map((message) => messageLine(peer.number, message)).join("; ");
    });
    const encoded = network.encoded ? encode(frame) : undefined;
    this.#toPeer(peer, true, (group) => {
      const messages =
        encoded === undefined
          ? frame
          : decodeMessages(encoded, 0, encoded.length, node.id, peer.id);
      group.receive(messages);
    });
  }

  #ask(to: MemberId, ids: readonly bigint[], onAnswer: LeaseAnswer, question: Question): void {
    const process = this.#process;
    process.reach("ask");
    const peer = process.world.nodes.get(to);
    const { schedule, settings } = process.world;
    const answer = once((result: Parameters<LeaseAnswer>[0]) => {
      process.enter("lease answer", () => onAnswer(result));
    });
    const gone = (): void => answer(new AetherError("unhealthy", "no answer"));
    schedule.after(CALL_TICKS * settings.tickMs, gone);
    if (peer === undefined) return;
    this.#toPeer(peer, false, (group) => {
      question(group, ids, (result) => this.#back(peer, false, () => answer(result)));
    });
  }

  /** Lets the group at `peer` do something, when and if that arrives. */
  #toPeer(
    peer: SimNode,
    repeatable: boolean,
    act: (group: Group, target: SimProcess) => void,
  ): void {
    const process = this.#process;
    process.world.network.send({
      from: process.node,
      to: peer,
      repeatable,
      deliver: () => {
        const target = peer.process;
        process.world.trace.note("arrive", peer.number, process.node.number);
        target?.enter("arrive", () => act(target.group, target));
      },
      onLoss: () => process.enter("unreachable", () => process.group.unreachable(peer.id)),
    });
  }

  /** An answer of `peer` to this process. */
  #back(peer: SimNode, repeatable: boolean, act: () => void): void {
    const process = this.#process;
    process.world.network.send({
      from: peer,
      to: process.node,
      repeatable,
      deliver: () => process.enter("answer", act),
    });
  }
}

/** A whole copy has come: beside the state first, then to Raft. One at a time. */
function receive(
  peer: SimNode,
  message: MessageOf<"snapshot">,
  held: MemoryHeldState,
  answer: (arrived: boolean) => void,
): void {
  const target = peer.process;
  target?.enter("copy arrives", () => {
    if (target.receives) {
      answer(false);
      return;
    }
    target.receives = true;
    target.store.stage(held.image, () => {
      target.group.receiveSnapshot(message, (error) => {
        target.receives = false;
        target.world.trace.note("copy taken", peer.number, message.meta.index, error ? 0 : 1);
        answer(error === undefined);
      });
    });
  });
}

const writer = new ByteWriter();

function encode(frame: readonly Message[]): Buffer {
  writer.reset();
  for (const message of frame) encodeMessage(message, writer);
  return Buffer.from(writer.view());
}

/** Only the first call counts. */
function once<T>(act: (value: T) => void): (value: T) => void {
  let done = false;
  return (value) => {
    if (done) return;
    done = true;
    act(value);
  };
}

function messageLine(to: number, message: Message): string {
  const parts = Object.entries(message).flatMap(([name, value]) => {
    if (name === "from" || name === "to" || name === "type" || value === undefined) return [];
    return [`${name}=${typeof value === "object" ? objectText(value) : value}`];
  });
  return `→ n${to} ${message.type} ${parts.join(" ")}`;
}

/** Entries by their span, anything else as it is. */
function objectText(value: object): string {
  if (Array.isArray(value)) {
    const entries = value as Entry[];
    return `[${entries.map(({ index, term, kind }) => `${index}/${term}${kind[0]}`).join(" ")}]`;
  }
  return JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? `${inner}` : inner));
}
