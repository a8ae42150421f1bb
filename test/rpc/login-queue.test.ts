/** Whose password is looked at next: fairly by user and by host, slowly for who fails. */
import { describe, expect, test } from "bun:test";
import type { AetherError } from "../../src/base/errors.ts";
import { LoginFailures } from "../../src/rpc/login-failures.ts";
import { LoginQueue } from "../../src/rpc/login-queue.ts";
import { loggingTo } from "./harness.ts";

class FakeTime {
  now = 0;
  readonly #timers: { readonly atMs: number; readonly run: () => void }[] = [];

  nowMs = (): number => this.now;

  after = (ms: number, run: () => void): void => {
    this.#timers.push({ atMs: this.now + ms, run });
  };

  async pass(ms: number): Promise<void> {
    this.now += ms;
    const due = this.#timers.filter(({ atMs }) => atMs <= this.now);
    for (const timer of due) this.#timers.splice(this.#timers.indexOf(timer), 1);
    for (const { run } of due) run();
    await Bun.sleep(0);
  }
}

/** One thread, and everybody who had a turn, in their order. */
class Scene {
  readonly time = new FakeTime();
  readonly queue = new LoginQueue({ runningMax: 1, penaltyMs: 100 }, this.time);
  readonly turns: string[] = [];
  readonly refused: string[] = [];

  ask(user: string, host: string, isWanted = (): boolean => true): void {
    const name = `${user}@${host}`;
    this.queue.enter({ user, host, isWanted }).then(
      () => this.turns.push(name),
      (error: AetherError) => this.refused.push(`${name} ${error.code}`),
    );
  }

  /** Ends so many turns, one after the other. */
  async play(count: number): Promise<void> {
    await Bun.sleep(0);
    for (let i = 0; i < count; i++) {
      this.queue.leave();
      await Bun.sleep(0);
    }
  }
}

const many = (count: number, make: (at: number) => void): void => {
  for (let at = 0; at < count; at++) make(at);
};

describe("turns", () => {
  test("a thousand calls for one name delay another's by a turn or two", async () => {
    const scene = new Scene();
    many(900, (at) => scene.ask("victim", `bot${at % 90}`));
    await scene.play(5);
    scene.ask("bob", "office");
    await scene.play(3);
    expect(scene.turns.slice(6)).toContain("bob@office");
  });

  test("nor do a thousand names from one host", async () => {
    const scene = new Scene();
    many(900, (at) => scene.ask(`name${at}`, "bot"));
    await scene.play(5);
    scene.ask("bob", "office");
    await scene.play(3);
    expect(scene.turns.slice(6)).toContain("bob@office");
  });

  test("nor do a thousand names from his own host, if he has logged in there before", async () => {
    const scene = new Scene();
    scene.queue.succeeded("bob", "proxy");
    many(900, (at) => scene.ask(`name${at}`, "proxy"));
    await scene.play(5);
    scene.ask("bob", "proxy");
    await scene.play(3);
    expect(scene.turns.slice(6)).toContain("bob@proxy");
  });

  test("nor does one who comes back again and again without a queue of his own", async () => {
    const scene = new Scene();
    many(50, () => scene.ask("app", "office"));
    for (let i = 0; i < 40; i++) {
      scene.ask(`new${i}`, "bot");
      await scene.play(1);
    }
    expect(scene.turns.filter((turn) => turn === "app@office").length).toBeGreaterThan(12);
  });

  test("all of one user and host are served in their order when nobody else comes", async () => {
    const scene = new Scene();
    many(5, () => scene.ask("app", "office"));
    await scene.play(5);
    expect(scene.turns.length).toBe(5);
    expect(scene.queue.waitingCount).toBe(0);
  });

  test("are not for those who have gone", async () => {
    const scene = new Scene();
    scene.ask("a", "h");
    scene.ask("b", "h", () => false);
    scene.ask("c", "h");
    await scene.play(1);
    expect([scene.turns, scene.refused]).toEqual([["a@h", "c@h"], ["b@h canceled"]]);
  });
});

describe("when too many wait", () => {
  test("the newest of the greediest is refused, not who comes", async () => {
    const scene = new Scene();
    many(1001, (at) => scene.ask("victim", `bot${at}`));
    scene.ask("bob", "office");
    await scene.play(3);
    expect(scene.refused).toEqual(["victim@bot1000 too_many_requests"]);
    expect(scene.turns).toContain("bob@office");
    expect(scene.queue.refusedCount).toBe(1);
  });

  test("the greediest that comes is refused itself", async () => {
    const scene = new Scene();
    many(1002, (at) => scene.ask(`name${at}`, "bot"));
    await scene.play(0);
    expect(scene.refused).toEqual(["name1001@bot too_many_requests"]);
    expect(scene.queue.waitingCount).toBe(1000);
  });
});

describe("who fails", () => {
  test("waits longer each time, and nobody else does", async () => {
    const scene = new Scene();
    const waits: number[] = [];
    scene.ask("u", "bad");
    await scene.play(0);
    for (let failures = 1; failures <= 12; failures++) {
      scene.queue.failed("u", "bad");
      scene.ask("u", "bad");
      await scene.play(1);
      const [before, from] = [scene.turns.length, scene.time.now];
      if (before === failures) {
        scene.ask("u", "good");
        await scene.play(0);
        expect(scene.turns.at(-1)).toBe("u@good"); // the same user from another host
        scene.turns.pop();
        await scene.play(1);
      }
      while (scene.turns.length === failures) await scene.time.pass(100);
      waits.push(scene.time.now - from);
    }
    expect(waits).toEqual([0, 0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
    expect(scene.queue.penaltyCount).toBe(9);
  });

  test("begins anew once he succeeds, or after a quiet minute", async () => {
    const scene = new Scene();
    const isDelayed = async (): Promise<boolean> => {
      const before = scene.turns.length;
      scene.ask("u", "h");
      await scene.play(0);
      const delayed = scene.turns.length === before;
      await scene.time.pass(6000);
      await scene.play(1);
      return delayed;
    };
    many(5, () => scene.queue.failed("u", "h"));
    expect(await isDelayed()).toBe(true);
    scene.queue.succeeded("u", "h");
    many(3, () => scene.queue.failed("u", "h"));
    expect(await isDelayed()).toBe(false);
    await scene.time.pass(61_000);
    scene.queue.failed("u", "h");
    expect(await isDelayed()).toBe(false);
  });

  test("may not fill the queue while he waits", async () => {
    const scene = new Scene();
    many(9, () => scene.queue.failed("u", "bad"));
    many(20, () => scene.ask("u", "bad"));
    await scene.play(0);
    expect(scene.turns).toEqual([]);
    expect(scene.refused.length).toBe(4);
    expect(scene.queue.waitingCount).toBe(16);
  });

  test("is told in the log, within bounds", () => {
    const lines: string[] = [];
    let nowMs = 0;
    const failures = new LoginFailures(loggingTo(lines), () => nowMs);
    many(50, (at) => failures.failed(`${at}${"x".repeat(100)}`, "h:1"));
    expect(lines.length).toBe(20);
    expect(lines[0]?.length).toBeLessThan(120);
    nowMs = 10_000;
    failures.failed("u", "h:1");
    expect(lines.at(-1)).toBe("authentication failed user=u remote=h:1 unsaid=30");
  });
});
