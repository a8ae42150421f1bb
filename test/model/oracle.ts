/**
 * Sends one random sequence to two servers and demands the same answers: status and text of
 * refusals, every field of every answer, every event of every watcher. The first difference ends
 * the run with the seed, the step, the request and both answers.
 */
import { comparable, differencesOf, stripHeaders } from "./differences.ts";
import type { Answer, Endpoint, Plain } from "./endpoint.ts";
import { RequestGenerator } from "./generator.ts";
import type { ModelContext, UnaryRequest, WatchBody, WatchRequest } from "./requests.ts";
import { SideWatches } from "./watches.ts";

export interface OracleOptions {
  readonly seed: number;
  readonly steps: number;
  /** Both must be fresh: the sequence starts at revision 1. */
  readonly a: Endpoint;
  readonly b: Endpoint;
}

/** What a run came to, to see that it was worth something. */
export interface OracleReport {
  readonly revision: number;
  /** Answers by RPC and refusal text. */
  readonly answers: Readonly<Record<string, number>>;
  readonly events: number;
}

export class OracleMismatch extends Error {
  override readonly name = "OracleMismatch";
}

/** Runs a sequence; throws OracleMismatch at the first difference. */
export async function runOracle(options: OracleOptions): Promise<OracleReport> {
  const run = new OracleRun(options);
  await run.start();
  try {
    for (let step = 1; step <= options.steps; step++) await run.step(step);
    return await run.finish();
  } finally {
    run.close();
  }
}

class OracleRun {
  readonly #options: OracleOptions;
  readonly #generator: RequestGenerator;
  readonly #sessions;
  readonly #watches: readonly [SideWatches, SideWatches];
  readonly #answers: Record<string, number> = {};
  #context: ModelContext = { revision: 1, compactRevision: -1 };
  /** Of watchers that a compaction canceled. */
  readonly #lostIds = new Set<number>();
  #where = "start";

  constructor(options: OracleOptions) {
    this.#options = options;
    this.#generator = new RequestGenerator(options.seed);
    this.#sessions = [options.a.openWatch(), options.b.openWatch()] as const;
    this.#watches = [new SideWatches(this.#sessions[0]), new SideWatches(this.#sessions[1])];
  }

  async start(): Promise<void> {
    await this.#both((watches) => watches.open());
  }

  async step(step: number): Promise<void> {
    const request = this.#generator.next(this.#context);
    this.#where = `step ${step}: ${JSON.stringify(request)}`;
    if (request.rpc === "Watch" || request.rpc === "CancelWatch") await this.#watch(request);
    else await this.#call(request);
  }

  async finish(): Promise<OracleReport> {
    this.#where = "end";
    const { revision } = this.#context;
    await this.#settle();
    await this.#cancelAll(this.#watches[0].notStarted(revision));
    await this.#both((watches) => watches.progress(revision));
    const [a, b] = this.#watches;
    this.#demandEqual(a.history(), b.history());
    return { revision, answers: this.#answers, events: a.history().length };
  }

  close(): void {
    for (const session of this.#sessions) session.close();
  }

  async #call(request: UnaryRequest): Promise<void> {
    if (request.rpc === "Compact") await this.#beforeCompact();
    const { a, b } = this.#options;
    const [left, right] = await Promise.all([a.call(request), b.call(request)]);
    this.#demandEqual(comparable(request, left), comparable(request, right));
    const name = `${request.rpc} ${left.message}`.trim();
    this.#answers[name] = (this.#answers[name] ?? 0) + 1;
    if (left.code === 0) this.#advance(request, left);
  }

  /** A compaction may hide what events on their way would show: they must have arrived. */
  async #beforeCompact(): Promise<void> {
    await this.#settle();
    await this.#cancelAll(this.#watches[0].unproven());
  }

  async #cancelAll(ids: readonly number[]): Promise<void> {
    for (const id of ids) await this.#both((watches) => watches.cancel(id));
  }

  #advance(request: UnaryRequest, answer: Answer): void {
    const header = answer.body.header as { revision: string };
    const revision = Number(header.revision);
    const { compactRevision } = this.#context;
    const compacted = request.rpc === "Compact" ? request.body.revision : compactRevision;
    this.#context = { revision, compactRevision: compacted };
  }

  async #watch(drawn: WatchRequest): Promise<void> {
    const { revision, compactRevision } = this.#context;
    const request =
      drawn.rpc === "Watch" ? { ...drawn, body: this.#withFreeId(drawn.body) } : drawn;
    await this.#settle();
    const [left, right] = await this.#both((watches) =>
      request.rpc === "Watch"
        ? watches.create(request.body, revision, compactRevision)
        : watches.cancel(request.body.watchId),
    );
    for (const answers of [left, right]) stripHeaders(answers as unknown as Plain);
    this.#demandEqual(left, right);
    for (const { cancelReason, watchId, created } of left) {
      const isLost = request.rpc === "Watch" && created === false;
      if (isLost) this.#lostIds.add(Number(watchId));
      const name = `${request.rpc} ${cancelReason}`.trim();
      this.#answers[name] = (this.#answers[name] ?? 0) + 1;
    }
  }

  /**
   * etcd keeps the id of a watcher that a compaction canceled until its client cancels it too; for
   * us it is free again. So no such id is ever asked for.
   */
  #withFreeId(body: WatchBody): WatchBody {
    const { startRevision, watchId } = body;
    const isLost = startRevision !== 0 && startRevision < this.#context.compactRevision;
    return isLost || this.#lostIds.has(watchId) ? { ...body, watchId: 0 } : body;
  }

  async #settle(): Promise<void> {
    await this.#both((watches) => watches.settle(this.#context.revision));
  }

  /** Does the same on both sides; a failure says where and on which. */
  async #both<T>(action: (watches: SideWatches) => Promise<T>): Promise<[T, T]> {
    const { a, b } = this.#options;
    const side = (name: string, watches: SideWatches): Promise<T> =>
      action(watches).catch((cause: Error) => {
        throw this.#mismatch(`${name}: ${cause.message}`, cause);
      });
    return await Promise.all([side(a.name, this.#watches[0]), side(b.name, this.#watches[1])]);
  }

  #demandEqual(left: object, right: object): void {
    const found = differencesOf(left, right);
    if (found.length === 0) return;
    const { a, b } = this.#options;
    const both = `${a.name}: ${JSON.stringify(left)}\n${b.name}: ${JSON.stringify(right)}`;
    throw this.#mismatch(`${a.name} | ${b.name} differ at\n${found.join("\n")}\n${both}`);
  }

  #mismatch(what: string, cause?: unknown): OracleMismatch {
    const { seed, steps } = this.#options;
    const replay = `bun test/model/run.ts --seeds ${seed} --steps ${steps}`;
    return new OracleMismatch(`${this.#where}\n${what}\nreplay: ${replay}`, { cause });
  }
}
