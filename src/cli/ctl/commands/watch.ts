/**
 * `watch`: prints what happens to keys until it is interrupted. It goes on over lost connections
 * and restarted servers; it fails only when the server ends it.
 */
import type { EtcdClient } from "../../../client/etcd-client.ts";
import { GrpcError } from "../../../client/grpc-error.ts";
import { CompactedError, type WatchBatch, type Watcher } from "../../../client/watcher.ts";
import { Maintenance, type ResponseHeader } from "../../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError, stopped, UsageError } from "../../exit.ts";
import { quoteBytes, quoteText } from "../../go-text.ts";
import { LineReader } from "../../io.ts";
import type { Command } from "../command.ts";
import { MESSAGE_FORMATS } from "../command-info.ts";
import type { Invocation } from "../invocation.ts";
import { eventName, watchAnswer } from "../output/events.ts";
import {
  planWatch,
  planWatchLine,
  WATCH_ARGS,
  type WatchPlan,
  watchVariables,
} from "../watch-plan.ts";
import { splitWords, textOf } from "../words.ts";

/** A watch must not go on over a server that has lost its cluster. */
const REQUIRE_LEADER = ["hasleader", "true"];

export const watch: Command = {
  name: "watch",
  summary: "Prints what happens to a key, a range or a prefix",
  about: [
    "Ends when it is interrupted. A program after -- is run for each event, which it finds in",
    "ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY and ETCD_WATCH_VALUE.",
    "With -i, lines of standard input are watch commands, or `progress`.",
  ].join("\n"),
  args: WATCH_ARGS,
  formats: MESSAGE_FORMATS,
  examples: [
    "watch greeting",
    "watch --prefix services/ --prev-kv",
    "watch greeting --rev=1 -w json",
    "watch greeting -- sh -c 'echo \"$ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY\"'",
  ],
  async run(call) {
    const variables = watchVariables(call.io.environment);
    if (call.args.on("interactive")) {
      await watchLines(call);
      return;
    }
    const plan = planWatch(call.args, variables);
    const client = await call.client();
    await reach(call, client);
    await follow(call, start(call, client, plan), plan.program);
    const stop = call.io.interrupted();
    if (stop.aborted) throw stopped(stop);
    throw new ExitError(EXIT.INTERRUPTED, "watch is canceled by the server");
  },
};

/** A watch tries for ever, so a person who mistyped an address is told first. */
async function reach(call: Invocation, client: EtcdClient): Promise<void> {
  const { dialTimeoutMs: timeoutMs } = call.globals;
  const signal = call.io.interrupted();
  try {
    const request = Maintenance.Status.request.create();
    await client.channel.call(Maintenance.Status, request, { timeoutMs, signal });
  } catch (cause) {
    if (!(cause instanceof GrpcError) || signal.aborted) return;
    if (cause.codeName !== "UNAVAILABLE" && cause.codeName !== "DEADLINE_EXCEEDED") return;
    throw new ExitError(EXIT.BAD_CONNECTION, cause.message, { cause });
  }
}

function start(call: Invocation, client: EtcdClient, plan: WatchPlan): Watcher {
  const { key, rangeEnd, startRevision, prevKv, progressNotify } = plan;
  const signal = call.io.interrupted();
  const options = { key, rangeEnd, startRevision, prevKv, progressNotify, signal };
  return client.watch({ ...options, metadata: REQUIRE_LEADER });
}

/** Prints until the watch ends, and says why on standard error unless we ended it. */
async function follow(
  call: Invocation,
  watcher: Watcher,
  program: readonly string[],
): Promise<void> {
  let header: ResponseHeader | undefined;
  try {
    for await (const batch of watcher) {
      header = batch.response.header;
      if (batch.kind === "created") continue;
      show(call, batch);
      if (program.length > 0) await runForEach(call, batch, program);
    }
  } catch (error) {
    if (!(error instanceof GrpcError)) throw error;
    showEnd(call, error, header);
  }
}

function show(call: Invocation, { kind, events, response }: WatchBatch): void {
  const { header } = response;
  if (kind === "progress") call.say(`progress notify: ${header?.revision ?? 0}`);
  const news = { header, events, compactRevision: 0, canceled: false, cancelReason: "" };
  call.print(watchAnswer(news, call.style));
}

function showEnd(call: Invocation, error: GrpcError, last: ResponseHeader | undefined): void {
  call.io.err(`watch was canceled (${error.message})\n`);
  const compactRevision = error instanceof CompactedError ? error.compactRevision : 0;
  const header = last === undefined ? undefined : { ...last, revision: 0 };
  const cancelReason = error instanceof CompactedError ? "" : error.message;
  const news = { header, events: [], compactRevision, canceled: true, cancelReason };
  call.print(watchAnswer(news, call.style));
}

/** Runs the program once an event, in order; ends everything when it fails. */
async function runForEach(
  call: Invocation,
  { events, response }: WatchBatch,
  program: readonly string[],
): Promise<void> {
  for (const event of events) {
    const failure = await call.io.run(program, {
      ETCD_WATCH_REVISION: String(response.header?.revision ?? 0),
      ETCD_WATCH_EVENT_TYPE: quoteText(eventName(event)),
      ETCD_WATCH_KEY: quoteBytes(event.kv?.key ?? ""),
      ETCD_WATCH_VALUE: quoteBytes(event.kv?.value ?? ""),
    });
    if (failure === undefined) continue;
    call.io.err(`command [${program.map(quoteText).join(" ")}] error (${failure.text})\n`);
    throw new ExitError(EXIT.FAILED, "");
  }
}

/** `watch -i`: each line starts a watch beside those that run, or asks all how far they are. */
async function watchLines(call: Invocation): Promise<void> {
  const client = await call.client();
  const lines = new LineReader(call.io.stdin);
  const stop = call.io.interrupted();
  const ended = Promise.withResolvers<undefined>();
  stop.addEventListener("abort", () => ended.resolve(undefined), { once: true });
  ended.promise.catch(() => undefined); // seen by the next race
  const watchers: Watcher[] = [];
  for (;;) {
    const line = await Promise.race([lines.next(), ended.promise]);
    if (stop.aborted) throw stopped(stop);
    if (line === undefined) {
      throw new ExitError(EXIT.INVALID_INPUT, "error reading watch request line: EOF");
    }
    const plan = planOf(call, line, watchers);
    if (plan === undefined) continue;
    const watcher = start(call, client, plan);
    watchers.push(watcher);
    follow(call, watcher, plan.program).catch(ended.reject);
  }
}

/** The watch that a line wants; undefined when it wanted something else or is wrong. */
function planOf(
  call: Invocation,
  line: string,
  watchers: readonly Watcher[],
): WatchPlan | undefined {
  const complain = (why: string): undefined => {
    call.io.err(`Invalid command ${textOf(line)} (${why})\n`);
  };
  const [first, ...words] = splitWords(line);
  if (first === undefined) return complain("watch and progress supported");
  if (first === "progress") {
    for (const watcher of watchers) watcher.requestProgress();
    return undefined;
  }
  if (first !== "watch") return complain("only support watch");
  const variables = watchVariables(call.io.environment);
  if (words.length === 0 && variables.key === "") {
    return complain("command type or key is not provided");
  }
  try {
    return planWatchLine(words, variables);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return complain(textOf(error.message));
  }
}
