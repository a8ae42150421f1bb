/** Answers that wait to become JSON hold so much together, and no more. */
import { describe, expect, test } from "bun:test";
import { ByteWriter } from "../../../src/base/bytes.ts";
import type { AetherError } from "../../../src/base/errors.ts";
import { Turn } from "../../../src/base/turn.ts";
import { MIB } from "../../../src/base/units.ts";
import { JsonGateway } from "../../../src/gateway/json/gateway.ts";
import { HELD_BYTES_MAX } from "../../../src/gateway/json/paced-answer.ts";
import { KV, RangeResponse } from "../../../src/proto/gen/etcdserverpb.ts";
import { KeyValue } from "../../../src/proto/gen/mvccpb.ts";
import { failureOf } from "../../../src/rpc/errors.ts";
import { STALLED_MS } from "../../../src/rpc/large-reads.ts";
import { Driver } from "../../wire/http1/driver.ts";

const REQUEST = "POST /v3/kv/range HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}";

/** A gateway whose every range has a bit more than a megabyte, in one go or in pieces. */
class World {
  nowMs = 0;
  readonly gateway: JsonGateway;
  readonly #runs: (() => void)[] = [];

  constructor(inPieces: boolean) {
    const writer = new ByteWriter();
    const kvs = Array(1050).fill(KeyValue.create({ value: Buffer.alloc(1000) }));
    RangeResponse.encode(RangeResponse.create({ kvs }), writer);
    const { bytes, length } = writer;
    this.gateway = new JsonGateway({
      methods: [
        {
          path: KV.Range.path,
          unary: (call) => {
            if (!inPieces) call.reply(bytes, 0, length);
            else {
              call.beginReply(length, () => undefined);
              call.continueReply(bytes, 0, length);
            }
          },
        },
      ],
      mapError: (error) => failureOf(error as AetherError),
      meter: () => ({ onStart() {}, onReceived() {}, onSent() {}, onEnd() {} }),
      clock: { monotonicMs: () => this.nowMs },
      turn: new Turn((run) => this.#runs.push(run)),
      receiveBytesMax: MIB,
    });
  }

  /** A client that asks and does not read. */
  ask(): Driver {
    const driver = new Driver((request, response) => this.gateway.handle(request, response));
    driver.send(REQUEST);
    for (let run = this.#runs.shift(); run !== undefined; run = this.#runs.shift()) run();
    return driver;
  }

  /** As many of them as there is room for. */
  fill(): Driver[] {
    const drivers: Driver[] = [];
    while (this.gateway.held.heldBytes <= HELD_BYTES_MAX - 1.1 * MIB) drivers.push(this.ask());
    return drivers;
  }
}

describe.each([false, true])("in pieces: %p", (inPieces) => {
  test("one more is refused while the others may still be reading", () => {
    const world = new World(inPieces);
    expect(world.fill().length).toBeGreaterThan(50);
    for (let more = 0; more < 10; more++) world.ask();
    const { held } = world.gateway;
    expect(held.heldBytes).toBeLessThanOrEqual(HELD_BYTES_MAX);
    expect(held.refusedCount).toBeGreaterThan(8);
    expect(held.cutCount).toBe(0);
  });

  test("one that reads nothing makes room for another, and its connection ends", () => {
    const world = new World(inPieces);
    const [first, second] = world.fill();
    world.ask();
    world.gateway.tick(STALLED_MS);
    second?.take(); // it reads
    expect(world.ask().take()).toStartWith("HTTP/1.1 200 OK");
    expect(first?.connection.closing).toBe(true);
    expect(second?.connection.closing).toBe(false);
  });

  test("all is given back, whoever ends it", () => {
    const world = new World(inPieces);
    const drivers = world.fill();
    for (const [place, driver] of drivers.entries()) {
      if (place % 2 === 0) driver.connection.closed(0);
      else while (driver.take() !== "") world.ask().connection.closed(0);
    }
    expect(world.gateway.held.heldBytes).toBe(0);
  });
});

test("a refusal says so before anything else is said", () => {
  const world = new World(false);
  world.fill();
  const answers = [world.ask().take(), world.ask().take()];
  expect(answers.at(-1)).toStartWith("HTTP/1.1 429 ");
  expect(answers.at(-1)).toContain("etcdserver: too many requests");
});
