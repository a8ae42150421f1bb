/**
 * Plays one sequence to two servers and demands the same answers: status, text, metadata, every
 * field of every message, every event of every watcher. The first difference ends the run with the
 * step and both answers.
 */

import { until } from "../support/processes.ts";
import { comparable, differencesOf, type Point } from "./differences.ts";
import type { Answer } from "./raw-client.ts";
import type { TreeMessage } from "./schema.ts";
import type { Side } from "./side.ts";
import { type Call, call, type Step, type WatchStep } from "./steps.ts";

/** What a run came to, to see that it was worth something. */
export interface PairReport {
  readonly calls: number;
  readonly revision: number;
  /** Answers by RPC and refusal text. */
  readonly answers: Readonly<Record<string, number>>;
  readonly events: number;
}

/** Answers of what takes several writes tell the revision of one of them. */
const MAY_LAG = /^(Lock|Election)\//;
const LOOK = call("KV/Range", { key: "a", serializable: true });

export class Mismatch extends Error {
  override readonly name = "Mismatch";
  /** Index of the step in the sequence; its length for what was seen at the end. */
  readonly step: number;
  /** What differs of which RPC: the same difference after steps were left out. */
  readonly kind: string;

  constructor(step: number, what: string, kind: string, options?: { cause?: unknown }) {
    super(what, options);
    this.step = step;
    this.kind = kind;
  }
}

export interface PairOptions {
  readonly a: Side;
  readonly b: Side;
  /** One of them is etcd 3.4. */
  readonly isOld: boolean;
}

/** Plays a sequence to two fresh servers; throws Mismatch at the first difference. */
export async function playPair(options: PairOptions, steps: readonly Step[]): Promise<PairReport> {
  const run = new PairRun(options);
  await run.start();
  for (const [index, step] of steps.entries()) await run.step(index, step);
  return await run.finish(steps.length);
}

class PairRun {
  readonly #options: PairOptions;
  readonly #answers: Record<string, number> = {};
  readonly #begun = new Map<string, Call>();
  #point: Point = { revision: 1, compactRevision: -1 };
  /** Watchers that a compaction canceled: etcd keeps their ids, we do not. */
  #lost: { stream: number; id: number }[] = [];
  #calls = 0;
  #events = 0;
  #where = { index: 0, text: "start", kind: "start" };

  constructor(options: PairOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#both((side) => side.open());
  }

  async step(index: number, step: Step): Promise<void> {
    const kind = step.do === "call" ? step.rpc : step.do;
    this.#where = { index, text: `step ${index + 1}: ${JSON.stringify(step)}`, kind };
    switch (step.do) {
      case "call":
        return await this.#call(step);
      case "together":
        await Promise.all(step.calls.map((each) => this.#call(each)));
        return;
      case "race":
        return await this.#race(step.keys);
      case "begin":
        return await this.#begin(step.name, step.call);
      case "finish":
        return await this.#finish(step.name);
      default:
        return await this.#watch(step);
    }
  }

  async finish(index: number): Promise<PairReport> {
    this.#where = { index, text: "end", kind: "end" };
    const { revision } = this.#point;
    await this.#settle();
    const { watches } = this.#options.a;
    for (const { stream, id } of watches.notStarted(revision)) {
      await this.#both((side) => side.watches.cancel(stream, id));
    }
    for (const { stream, id } of this.#lost) {
      await this.#both(async (side) => side.watches.forget(stream, id));
    }
    for (const stream of watches.watching()) {
      this.#demandSame(await this.#both((side) => side.watches.progress(stream, revision)));
    }
    this.#compareHistory();
    return { calls: this.#calls, revision, answers: this.#answers, events: this.#events };
  }

  async #call(step: Call): Promise<void> {
    if (step.rpc === "KV/Compact") await this.#beforeCompact();
    const point = this.#point;
    this.#compare(step, await this.#both((side) => side.send(step, point)));
    if (MAY_LAG.test(step.rpc)) await this.#look();
  }

  /** Learns where the store is now. */
  async #look(): Promise<void> {
    await this.#call(LOOK);
  }

  #compare(step: Call, [left, right]: readonly Sent[]): void {
    if (left === undefined || right === undefined) throw new Error("two sides answer");
    const { a, b, isOld } = this.#options;
    const how = { isOld, point: this.#point };
    const seenA = a.identities.named(plain(comparable(left.sent, left.answer, how)));
    const seenB = b.identities.named(plain(comparable(right.sent, right.answer, how)));
    this.#demandEqual(seenA, seenB);
    this.#calls += 1;
    const name = `${step.rpc} ${left.answer.text}`.trim();
    this.#answers[name] = (this.#answers[name] ?? 0) + 1;
    if (left.answer.code === 0) this.#advance(left);
  }

  #advance({ sent, answer }: Sent): void {
    const header = answer.messages.at(-1)?.header as TreeMessage | undefined;
    const revision = Math.max(this.#point.revision, Number(header?.revision ?? 0));
    const { compactRevision } = this.#point;
    const isCompact = sent.rpc === "KV/Compact";
    const compacted = isCompact ? Number(sent.bodies[0]?.revision ?? 0) : compactRevision;
    this.#point = { revision, compactRevision: compacted };
  }

  /** A compaction may hide what events on their way would show: they must have arrived. */
  async #beforeCompact(): Promise<void> {
    await this.#settle();
    for (const { stream, id } of this.#options.a.watches.unproven()) {
      await this.#both((side) => side.watches.cancel(stream, id));
    }
  }

  /**
   * Puts of different keys at once: which comes first is chance, so what they came to is compared
   * without revisions. Then keys and history go, and watching begins anew.
   */
  async #race(keys: readonly string[]): Promise<void> {
    await this.#settle();
    this.#compareHistory();
    const point = this.#point;
    const puts = keys.map((key) => call("KV/Put", { key, value: `of ${key}` }));
    const answers = await this.#both((side) =>
      Promise.all(puts.map(async (put) => (await side.send(put, point)).answer)),
    );
    this.#demandSame(answers.map((each) => each.map(({ code, text }) => ({ code, text }))));
    this.#demandSame(answers.map((each) => each.map(revisionOf).sort((a, b) => a - b)));
    await this.#call(
      call("KV/Range", { key: "race/", rangeEnd: "race0", keysOnly: true, countOnly: true }),
    );
    const range = call("KV/Range", { key: "race/", rangeEnd: "race0" });
    const found = await this.#both((side) => side.send(range, this.#point));
    this.#demandSame(found.map(({ answer }) => withoutRevisions(answer)));
    await this.#call(call("KV/DeleteRange", { key: "race/", rangeEnd: "race0" }));
    const { revision } = this.#point;
    await this.#both((side) => side.watches.settle(revision));
    await this.#both((side) => side.watches.open(revision + 1));
    this.#lost = [];
    const compact = call("KV/Compact", { revision, physical: true });
    const compacted = await this.#both((side) => side.send(compact, this.#point));
    this.#compare(compact, compacted);
  }

  /** The call has to wait: it has once its own key is there. */
  async #begin(name: string, step: Call): Promise<void> {
    const point = this.#point;
    this.#begun.set(name, step);
    await this.#both(async (side) => {
      side.begin(name, step, point);
      await until(`${name} is waiting`, async () => {
        const { answer } = await side.send(LOOK, point);
        return revisionOf(answer) > point.revision || !side.waits(name);
      });
    });
    await this.#look();
  }

  async #finish(name: string): Promise<void> {
    const step = this.#begun.get(name);
    if (step === undefined) return; // what began it was cut out of the sequence
    this.#compare(step, await this.#both((side) => side.finish(name, step)));
    await this.#look();
  }

  async #watch(step: WatchStep): Promise<void> {
    const point = this.#point;
    const { revision, compactRevision } = point;
    await this.#settle();
    if (step.do === "progress") {
      this.#demandSame(await this.#both((side) => side.watches.progress(step.stream, revision)));
      return;
    }
    const { stream } = step;
    const answers = await this.#both((side) => {
      if (step.do === "cancelWatch") return side.watches.cancel(stream, step.watchId);
      const body = this.#withFreeId(stream, side.filledWatch(step.body, point));
      return side.watches.create(stream, body, revision, compactRevision);
    });
    this.#demandSame(answers);
    for (const { cancelReason, watchId, created } of answers[0] ?? []) {
      if (step.do === "watch" && created !== true) {
        this.#lost.push({ stream, id: Number(watchId ?? 0) });
      }
      const name = `${step.do} ${cancelReason ?? ""}`.trim();
      this.#answers[name] = (this.#answers[name] ?? 0) + 1;
    }
  }

  /**
   * etcd keeps the id of a watcher that a compaction canceled until its client cancels it too; for
   * us it is free again. So no such id is ever asked for.
   */
  #withFreeId<T extends { startRevision: number; watchId: number }>(stream: number, body: T): T {
    const { startRevision, watchId } = body;
    const isLost = startRevision !== 0 && startRevision < this.#point.compactRevision;
    const wasLost = this.#lost.some((one) => one.stream === stream && one.id === watchId);
    return isLost || wasLost ? { ...body, watchId: 0 } : body;
  }

  async #settle(): Promise<void> {
    const { revision } = this.#point;
    await this.#both((side) => side.watches.settle(revision));
  }

  #compareHistory(): void {
    const { a, b } = this.#options;
    const [left, right] = [a, b].map((side) =>
      side.watches.history().map((event) => side.identities.named(plain(event))),
    );
    this.#demandEqual(left, right);
    this.#events += left?.length ?? 0;
  }

  /** Does the same on both sides; a failure says where and on which. */
  async #both<T>(action: (side: Side) => Promise<T>): Promise<[T, T]> {
    const { a, b } = this.#options;
    const on = (side: Side): Promise<T> =>
      action(side).catch((cause: Error) => {
        throw this.#failure(`${side.name}: ${cause.message}`, cause);
      });
    return await Promise.all([on(a), on(b)]);
  }

  /** Of both sides: answers that are not calls. */
  #demandSame(sides: readonly unknown[]): void {
    const { a, b } = this.#options;
    const [left, right] = [a, b].map(({ identities }, index) => {
      const copy = plain(sides[index]);
      for (const one of [copy].flat()) withoutTerm(one);
      return identities.named(copy);
    });
    this.#demandEqual(left, right);
  }

  #demandEqual(left: unknown, right: unknown): void {
    const found = differencesOf(left, right);
    if (found.length === 0) return;
    const { a, b } = this.#options;
    const both = `${a.name}: ${JSON.stringify(left)}\n${b.name}: ${JSON.stringify(right)}`;
    const text = `${this.#where.text}\n${a.name} | ${b.name} differ at\n${found.join("\n")}`;
    const kind = `${this.#where.kind} ${found[0]?.split(":")[0]}`;
    throw new Mismatch(this.#where.index, `${text}\n${both}`, kind);
  }

  #failure(what: string, cause: unknown): Mismatch {
    if (cause instanceof Mismatch) return cause;
    const { index, text, kind } = this.#where;
    return new Mismatch(index, `${text}\n${what}`, kind, { cause });
  }
}

type Sent = Awaited<ReturnType<Side["send"]>>;

/** As JSON has it: a copy, and what is undefined is absent. */
function plain(value: unknown): TreeMessage {
  return JSON.parse(JSON.stringify(value)) as TreeMessage;
}

function withoutTerm(message: unknown): void {
  const header = (message as TreeMessage | null)?.header as TreeMessage | undefined;
  if (header !== undefined) delete header.raftTerm;
}

function revisionOf({ messages }: Answer): number {
  return Number((messages[0]?.header as TreeMessage | undefined)?.revision ?? 0);
}

function withoutRevisions({ code, messages }: Answer): unknown {
  const kvs = (messages[0]?.kvs ?? []) as TreeMessage[];
  return { code, kvs: kvs.map(({ key, value, version, lease }) => [key, value, version, lease]) };
}
