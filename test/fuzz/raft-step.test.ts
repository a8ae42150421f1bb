/**
 * A member of three that hears a liar: whatever message comes in whatever state, it neither throws
 * nor breaks its own rules, and does not undo what it knows committed. The messages went through
 * the codec, as a liar's would.
 */
import { expect } from "bun:test";
import fc from "fast-check";
import { ByteWriter } from "../../src/base/bytes.ts";
import { decodeMessages, encodeMessage } from "../../src/net/peers/message-codec.ts";
import type { Message } from "../../src/raft/message.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type { MemberId } from "../../src/raft/types.ts";
import { Cluster } from "../raft/cluster.ts";
import type { SimNode } from "../raft/sim-node.ts";
import { fuzz } from "./fuzz.ts";
import { message, TO } from "./peer-messages.ts";

type Role = "follower" | "candidate" | "leader";

/** What happens: a message of one of the others, a tick, a Ready, a wish of this member's own. */
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("message" as const), message }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom("tick" as const, "ready" as const, "campaign" as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom("propose" as const, "read" as const) }),
  },
);

const role: fc.Arbitrary<Role> = fc.constantFrom("follower", "candidate", "leader");

/** Mostly of the member's own term, since a newer one ends whatever it does. */
const nearness = fc.record({
  term: fc.nat(15).map((drawn) => drawn > 0),
  index: fc.boolean(),
  from: fc.bigInt(2n, 5n),
});

function inRole(wanted: Role): { cluster: Cluster; node: SimNode } {
  const cluster = new Cluster({ electionTicks: 10, preVote: false });
  cluster.found([1, 2, 3]);
  const node = cluster.node(1);
  if (wanted === "follower") cluster.node(2).raft.campaign();
  else node.raft.campaign();
  if (wanted === "candidate") while (cluster.turn(node));
  else cluster.settle();
  expect(node.raft.role).toBe(wanted);
  return { cluster, node };
}

/** As it comes out of the codec at its receiver. */
function heard(said: Message, near: { term: boolean; index: boolean; from: bigint }, raft: Raft) {
  const term = near.term ? raft.term : said.term;
  const base = near.index && said.type === "append" ? raft.lastIndex - said.prevIndex : 0;
  const from = near.from as MemberId;
  const out = new ByteWriter(256);
  encodeMessage({ ...said, term, ...movedBy(said, base, raft) } as Message, out);
  return decodeMessages(out.view(), 0, out.length, from, TO);
}

/** An append that fits the end of the log, so that its entries are taken. */
function movedBy(said: Message, base: number, raft: Raft): Partial<Message> {
  if (said.type !== "append" || base === 0) return {};
  const prevTerm = Math.max(0, raft.termAt(raft.lastIndex));
  const entries = said.entries.map((entry) => {
    const term = Math.max(Math.min(entry.term, raft.term), prevTerm);
    return { ...entry, index: entry.index + base, term };
  });
  return { prevIndex: said.prevIndex + base, prevTerm, entries };
}

/** A driver that writes and applies at once; nothing is compared, since lies may be committed. */
function perform({ raft, disk }: SimNode): void {
  const ready = raft.ready();
  disk.write(ready.persist);
  if (ready.persist.mustSync) raft.written(ready.persist.ack);
  const last = ready.committed.at(-1);
  if (last !== undefined) raft.appliedTo(last.index);
}

fuzz({
  name: "raft-step",
  inputs: [role, fc.array(fc.tuple(step, nearness), { maxLength: 40 })],
  check(wanted, steps) {
    const { node } = inRole(wanted);
    const { raft } = node;
    let committed = raft.committed;
    for (const [at, [what, near]] of steps.entries()) {
      if (what.kind === "message")
        for (const each of heard(what.message, near, raft)) raft.step(each);
      else if (what.kind === "tick") raft.tick(at);
      else if (what.kind === "ready") perform(node);
      else if (what.kind === "campaign") raft.campaign();
      else if (what.kind === "read" && raft.leader !== 0n) raft.readIndex(at);
      else if (what.kind === "propose" && raft.role === "leader" && raft.transferee === 0n) {
        raft.propose(new Uint8Array(3));
      }
      raft.verify();
      expect(raft.committed).toBeGreaterThanOrEqual(committed);
      committed = raft.committed;
    }
  },
  runs: 600,
});
