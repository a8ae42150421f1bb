/** `lock`: holds a named lock for as long as it, or the program it is given, runs. */
import { EMPTY_BYTES, type Key } from "../../../base/bytes.ts";
import {
  Compare,
  CompareResult,
  CompareTarget,
  KV,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import type { Command } from "../command.ts";
import { MESSAGE_FORMATS } from "../command-info.ts";
import type { Invocation } from "../invocation.ts";
import { rangeAnswer } from "../output/key-values.ts";
import { firstOf, Session } from "../recipes/session.ts";
import { textOf } from "../words.ts";

export const lock: Command = {
  name: "lock",
  summary: "Holds a named lock, or runs a program under it",
  about: [
    "Prints the key it holds and waits to be interrupted. A program is run instead, which finds",
    "ETCD_LOCK_KEY and ETCD_LOCK_REV; its exit status is ours. The revision grows from holder to",
    "holder: what is written under the lock can be fenced with it.",
  ].join("\n"),
  args: {
    name: { type: "positional", required: true, description: "The lock's name" },
    program: { type: "positional", required: false, description: "What to run, and its arguments" },
    ttl: {
      type: "string",
      default: "10",
      valueHint: "seconds",
      description: "When we are gone without a word, others wait this long",
    },
  },
  formats: MESSAGE_FORMATS,
  examples: ["lock backup", "lock backup --ttl=30 -- ./backup.sh --full"],
  async run(call) {
    const [name, ...program] = call.args.positionals;
    if (name === undefined) {
      const takes = "lock takes a lock name argument and an optional command to execute";
      throw new ExitError(EXIT.BAD_ARGUMENTS, takes);
    }
    const session = await Session.open(call, call.args.integer("ttl"));
    try {
      const revision = await session.orLost(acquire(session, name), LOST);
      if (program.length > 0) await runUnder(call, session.keyIn(name), revision, program);
      else await session.orLost(hold(call, session, name), LOST);
    } catch (error) {
      await session.abandon();
      throw error;
    }
    await session.end();
  },
};

const LOST = "session expired";

/** Runs the program to its end, come what may: only it knows how to stop where it is. */
async function runUnder(
  call: Invocation,
  key: Key,
  revision: number,
  program: readonly string[],
): Promise<void> {
  const variables = { ETCD_LOCK_KEY: textOf(key), ETCD_LOCK_REV: String(revision) };
  const failure = await call.io.run(program, variables);
  if (failure !== undefined) throw new ExitError(failure.status, failure.text);
}

async function hold(call: Invocation, session: Session, name: string): Promise<void> {
  const held = await session.range({ key: session.keyIn(name) });
  if (held.kvs.length === 0) throw new ExitError(EXIT.FAILED, "lock lost on init");
  call.print(rangeAnswer(held, call.style));
  await untilAborted(session.stop);
}

/** Queues up and waits; the revision at which the lock was ours. */
async function acquire(session: Session, name: string): Promise<number> {
  const key = session.keyIn(name);
  const owner = RequestOp.create({ requestRange: RangeRequest.create(firstOf(name)) });
  const put = PutRequest.create({ key, value: EMPTY_BYTES, lease: session.lease });
  const request = TxnRequest.create({
    compare: [
      Compare.create({
        key,
        result: CompareResult.EQUAL,
        target: CompareTarget.CREATE,
        createRevision: 0,
      }),
    ],
    success: [RequestOp.create({ requestPut: put }), owner],
    failure: [RequestOp.create({ requestRange: RangeRequest.create({ key }) }), owner],
  });
  const { header, responses } = await session.client.channel.call(KV.Txn, request);
  const revision = header?.revision ?? 0;
  const [first] = responses[1]?.responseRange?.kvs ?? [];
  if (first === undefined || first.createRevision === revision) return revision;
  await session.waitForTurn(name, revision);
  const mine = await session.range({ key });
  if (mine.kvs.length === 0) throw new ExitError(EXIT.FAILED, "mutex: session is expired");
  return mine.header?.revision ?? 0;
}

/** Resolves when the program is asked to stop. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
