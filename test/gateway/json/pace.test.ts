import { describe, expect, test } from "bun:test";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { Turn } from "../../../src/base/turn.ts";
import { Pace, TURN_MS_MAX } from "../../../src/gateway/json/pace.ts";
import { PacedAnswer, STEP_BYTES } from "../../../src/gateway/json/paced-answer.ts";
import { RangeResponse } from "../../../src/proto/gen/etcdserverpb.ts";
import { KeyValue } from "../../../src/proto/gen/mvccpb.ts";
import { LargeReads } from "../../../src/rpc/large-reads.ts";
import { Driver } from "../../wire/http1/driver.ts";

class World {
  nowMs = 0;
  readonly #runs: (() => void)[] = [];
  readonly pace = new Pace(new Turn((run) => this.#runs.push(run)), () => this.nowMs);

  /** False: nothing waits for the end of a turn. */
  endTurn(): boolean {
    const run = this.#runs.shift();
    run?.();
    return run !== undefined;
  }
}

describe("pace", () => {
  test("steps are done at once while the turn has time, then everybody's in turn", () => {
    const world = new World();
    const done: string[] = [];
    const work = (name: string, steps: number): void => {
      let left = steps;
      world.pace.run(() => {
        world.nowMs += TURN_MS_MAX / 2;
        done.push(name);
        left--;
        return left > 0;
      });
    };
    work("a", 3);
    work("b", 2);
    expect(done.join("")).toBe("a"); // those who come later do not pass it by
    world.endTurn();
    expect(done.join("")).toBe("aa");
    expect(world.pace.waiting).toBe(2);
    world.endTurn();
    expect(done.join("")).toBe("aaba");
    while (world.endTurn());
    expect(done.join("")).toBe("aabab");
    expect(world.pace.waiting).toBe(0);
  });

  test("a turn that has spent its time begins nothing", () => {
    const world = new World();
    const spend = (): boolean => {
      world.nowMs += TURN_MS_MAX;
      return false;
    };
    world.pace.run(spend);
    let begun = false;
    world.pace.run(() => {
      begun = true;
      return false;
    });
    expect(begun).toBe(false);
    while (world.endTurn());
    expect(begun).toBe(true);
  });

  test("a turn that had much to do leaves the next one all of its time", () => {
    const world = new World();
    let steps = 0;
    world.pace.run(() => {
      world.nowMs += TURN_MS_MAX * 10;
      return ++steps < 3;
    });
    expect(steps).toBe(1);
    world.endTurn();
    world.endTurn();
    expect(steps).toBe(2);
  });
});

describe("a paced answer", () => {
  test("that nobody reads is not made any further", () => {
    const world = new World();
    const writer = new ByteWriter();
    const kvs = Array(2000).fill(KeyValue.create({ value: Buffer.alloc(1000) }));
    RangeResponse.encode(RangeResponse.create({ kvs }), writer);
    let ended = false;
    let answer: PacedAnswer | undefined;
    const driver = new Driver((_request, response) => {
      response.start(200, []);
      const type = RangeResponse;
      const onEnd = (): void => {
        ended = true;
      };
      const held = new LargeReads().begin();
      const paced = { type, response, pace: world.pace, held, onRoom: () => undefined, onEnd };
      answer = new PacedAnswer(paced);
      response.onDrain = () => answer?.resume();
      answer.take(writer.bytes, 0, writer.length, true);
    });
    driver.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    while (world.endTurn());
    const { output } = driver.connection;
    expect(output.pending).toBeLessThan(256 * 1024 + 3 * STEP_BYTES);
    expect([world.pace.waiting, answer?.busy, ended]).toEqual([0, true, false]);
    let bytes = 0;
    for (; !ended; bytes += driver.take().length) while (world.endTurn());
    expect(bytes).toBeGreaterThan(2_600_000);
    expect(answer?.busy).toBe(false);
  });
});
