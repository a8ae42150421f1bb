/**
 * A member as a machine: its disks, clock and identity, which outlive its processes. How much of
 * what was not durable is left after a crash is drawn here.
 */
import { assert } from "../../src/base/assert.ts";
import type { Prng } from "../../src/base/prng.ts";
import type { Founding } from "../../src/node/start.ts";
import type { MemberId } from "../../src/raft/types.ts";
import { MemoryLogDisk } from "../../src/storage/memory-log.ts";
import { MemoryStateDisk } from "../../src/storage/memory-state.ts";
import { MemberClock } from "./clock.ts";
import { SimProcess } from "./process.ts";
import { randomOf } from "./streams.ts";
import type { World } from "./world.ts";

/**
 * kill: the process dies, what it handed to the system survives
 * power: what was not synced is lost, but for some of the oldest writes
 */
export type CrashKind = "kill" | "power";

export class SimNode {
  /** 1, 2, 3, … in order of appearance; for people. */
  readonly number: number;
  readonly id: MemberId;
  readonly founding: Founding | undefined;
  readonly clock: MemberClock;
  readonly random: Prng;
  readonly logDisk = new MemoryLogDisk();
  readonly stateDisk = new MemoryStateDisk();
  process: SimProcess | undefined = undefined;
  lives = 0;
  /** Effects on the world until the process crashes; 0: it does not. */
  pointsToCrash = 0;
  /** How the next crash in the middle of something ends. */
  nextCrash: CrashKind = "kill";
  diskSlowness = 1;
  /** It is to stay down. */
  retired = false;
  readonly #world: World;
  #pauses = 0;
  #paused = false;
  #afterPause: (() => void)[] = [];

  constructor(world: World, number: number, id: MemberId, founding: Founding | undefined) {
    this.#world = world;
    this.number = number;
    this.id = id;
    this.founding = founding;
    this.random = randomOf(world.seed, `node ${number}`);
    this.clock = new MemberClock(world.schedule, this.random.below(1_000_000));
  }

  get up(): boolean {
    return this.process !== undefined;
  }

  get paused(): boolean {
    return this.#paused;
  }

  start(): void {
    if (this.process !== undefined || this.retired) return;
    this.lives++;
    this.#world.trace.note("start", this.number, this.lives);
    const process = new SimProcess(this, this.#world);
    this.process = process;
    process.enter("boot", () => process.boot());
  }

  /** What the process would read from its log if it were all durable; nothing of that is. */
  readBack(): MemoryLogDisk {
    const copy = new MemoryLogDisk();
    copy.hardState = this.logDisk.hardState;
    copy.snapshot = this.logDisk.snapshot;
    copy.entries = this.logDisk.entries.slice();
    return copy;
  }

  /** The process ends now, between two of its steps. */
  crash(kind: CrashKind): void {
    if (this.process === undefined) return;
    this.nextCrash = kind;
    this.died(kind);
  }

  /** The machine is switched off for good. */
  retire(): void {
    this.retired = true;
    this.crash("power");
  }

  /** The process has ended: decides what is left of its writes. */
  died(how: string): void {
    const { process } = this;
    assert(process?.alive === true, "a process dies once");
    this.process = undefined;
    process.ended();
    this.pointsToCrash = 0;
    this.#paused = false;
    this.#afterPause = [];
    const writes = process.log?.pendingCount ?? 0;
    const kept = this.random.pick([0, writes, this.random.below(writes + 1)]);
    process.log?.settle(kept);
    const stored = this.stateDisk.unsyncedCount;
    const left = this.nextCrash === "kill" ? stored : this.random.below(stored + 1);
    this.stateDisk.crash(left);
    const losses = () => `${how}: ${kept}/${writes} log writes, ${left}/${stored} of the state`;
    this.#world.trace.note("crash", this.number, kept, left, losses);
    this.#world.afterCrash(this);
  }

  /** The process is stopped and does nothing; its timers run late, once. */
  pause(durationMs: number): void {
    if (this.process === undefined) return;
    this.#paused = true;
    const pause = ++this.#pauses;
    this.#world.trace.note("pause", this.number, Math.floor(durationMs));
    this.#world.schedule.after(durationMs, () => {
      if (pause === this.#pauses) this.resume();
    });
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#world.trace.note("resume", this.number);
    for (const run of this.#afterPause.splice(0)) run();
  }

  afterPause(run: () => void): void {
    this.#afterPause.push(run);
  }
}
