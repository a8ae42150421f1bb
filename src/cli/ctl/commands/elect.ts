/** `elect`: stands for election under a name, or watches who is elected. */
import { keyFromText } from "../../../base/bytes.ts";
import type { EtcdClient } from "../../../client/etcd-client.ts";
import {
  Compare,
  CompareResult,
  CompareTarget,
  KV,
  PutRequest,
  RangeResponse,
  RequestOp,
  type ResponseHeader,
  TxnRequest,
} from "../../../proto/gen/etcdserverpb.ts";
import { EventType, type KeyValue } from "../../../proto/gen/mvccpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import type { Command } from "../command.ts";
import { MESSAGE_FORMATS } from "../command-info.ts";
import type { Invocation } from "../invocation.ts";
import { prefixEnd } from "../key-range.ts";
import { rangeAnswer } from "../output/key-values.ts";
import { changes, firstOf, SESSION_TTL_SECONDS, Session } from "../recipes/session.ts";
import { untilAborted } from "./lock.ts";

export const elect: Command = {
  name: "elect",
  summary: "Stands for election, or watches who is elected",
  about: [
    "With a proposal it waits until it leads, prints its key and proposal, and leads until it is",
    "interrupted. With -l it prints each leader's.",
  ].join("\n"),
  args: {
    name: { type: "positional", required: true, description: "The election's name" },
    proposal: { type: "positional", required: false, description: "What we say as the leader" },
    listen: { type: "boolean", alias: "l", description: "Only watch" },
  },
  formats: MESSAGE_FORMATS,
  examples: ["elect scheduler host-1", "elect scheduler -l"],
  async run(call) {
    const [name, proposal, more] = call.args.positionals;
    const listen = call.args.on("listen");
    const bad = (why: string): ExitError => new ExitError(EXIT.BAD_ARGUMENTS, why);
    if (name === undefined || more !== undefined) {
      const takes = "one election name argument and an optional proposal argument";
      throw bad(`elect takes ${takes}`);
    }
    if (proposal === undefined && !listen) throw bad("no proposal argument but -l not set");
    if (proposal !== undefined && listen) throw bad("proposal given but -l is set");
    if (proposal === undefined) await observe(call, name);
    else await campaign(call, name, proposal);
  },
};

async function campaign(call: Invocation, name: string, proposal: string): Promise<void> {
  const session = await Session.open(call, SESSION_TTL_SECONDS);
  try {
    await session.orLost(lead(call, session, name, proposal), "elect: session expired");
  } catch (error) {
    await session.abandon();
    throw error;
  }
  await session.end();
}

async function lead(
  call: Invocation,
  session: Session,
  name: string,
  proposal: string,
): Promise<void> {
  const key = session.keyIn(name);
  const value = Buffer.from(proposal);
  // The lease is new and so is the key: the comparison cannot fail, and nobody's key is taken.
  const put = PutRequest.create({ key, value, lease: session.lease });
  const fresh = { result: CompareResult.EQUAL, target: CompareTarget.CREATE, createRevision: 0 };
  const request = TxnRequest.create({
    compare: [Compare.create({ key, ...fresh })],
    success: [RequestOp.create({ requestPut: put })],
  });
  const { header, succeeded } = await session.client.channel.call(KV.Txn, request);
  if (!succeeded) throw new ExitError(EXIT.FAILED, "election: not leader");
  await session.waitForTurn(name, header?.revision ?? 0);
  call.print(rangeAnswer(await session.range({ key }), call.style));
  await untilAborted(session.stop);
}

interface Leader {
  readonly kv: KeyValue;
  readonly header: ResponseHeader | undefined;
}

/** Prints the leader, each of its proposals, and the leaders after it, until interrupted. */
async function observe(call: Invocation, name: string): Promise<void> {
  const client = await call.client();
  const signal = call.io.interrupted();
  const show = ({ kv, header }: Leader): void => {
    call.print(rangeAnswer(RangeResponse.create({ header, kvs: [kv] }), call.style));
  };
  while (!signal.aborted) {
    const leader = await firstLeader(call, client, name);
    if (leader === undefined) return;
    show(leader);
    const { key, modRevision } = leader.kv;
    const startRevision = (leader.header?.revision ?? modRevision) + 1;
    for await (const { event, header } of changes(client, { key, startRevision, signal })) {
      if (event.type === EventType.DELETE) break;
      if (event.kv !== undefined) show({ kv: event.kv, header });
    }
  }
}

/** Who leads now, or else who leads next; undefined when we are interrupted before. */
async function firstLeader(
  call: Invocation,
  client: EtcdClient,
  name: string,
): Promise<Leader | undefined> {
  const signal = call.io.interrupted();
  const { header, kvs } = await call.call(KV.Range, firstOf(name), client);
  const [first] = kvs;
  if (first !== undefined) return { kv: first, header };
  const key = `${keyFromText(name)}/`;
  const startRevision = header?.revision ?? 0;
  const watched = { key, rangeEnd: prefixEnd(key), startRevision, signal };
  for await (const { event, header: at } of changes(client, watched)) {
    const { kv } = event;
    if (event.type !== EventType.PUT || kv === undefined) continue;
    const own = at === undefined ? undefined : { ...at, revision: kv.modRevision };
    return { kv, header: own };
  }
  return undefined;
}
