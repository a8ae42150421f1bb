/** What HTTP/1 connections hold together: unfinished bodies and answers that nobody reads. */
import { describe, expect, test } from "bun:test";
import { KIB, MIB } from "../../../src/base/units.ts";
import { HTTP_LIMITS } from "../../../src/wire/http1/limits.ts";
import { Http1Connection } from "../../../src/wire/http1/server-connection.ts";
import { FAIR_BYTES, MemoryBudget } from "../../../src/wire/memory.ts";

const BUDGET_BYTES = 4 * MIB;
const HEAD = "POST /v3/kv/put HTTP/1.1\r\nhost: a\r\ncontent-length: 1048576\r\n\r\n";

class Crowd {
  readonly budget = new MemoryBudget(BUDGET_BYTES);
  readonly connections: Http1Connection[] = [];
  readonly answered: string[] = [];

  open(): Http1Connection {
    const connection = new Http1Connection(
      {
        peer: "p",
        handler: (request, response) => {
          this.answered.push(request.path);
          response.end(200, [], Buffer.alloc(request.path === "/large" ? MIB : 0));
        },
        limits: HTTP_LIMITS,
        memory: this.budget.open(),
      },
      0,
    );
    this.connections.push(connection);
    return connection;
  }

  tick(): void {
    for (const connection of this.connections) connection.tick(100);
    this.budget.verify();
  }
}

const say = (connection: Http1Connection, text: string): void =>
  connection.receive(Buffer.from(text), 1);

const saidBy = ({ output }: Http1Connection): string =>
  output.bytes.toString("latin1", output.start, output.end);

describe("memory of HTTP/1 connections", () => {
  test("unfinished bodies stay within the budget: who asks for more is refused with 503", () => {
    const crowd = new Crowd();
    for (let count = 0; count < 20; count++) say(crowd.open(), HEAD);
    for (let round = 0; round < 16; round++) {
      for (const connection of crowd.connections) {
        connection.receive(Buffer.alloc(60 * KIB, 0x20), 1);
      }
      const bound = BUDGET_BYTES + 20 * (FAIR_BYTES + 256 * KIB);
      expect(crowd.budget.usedBytes).toBeLessThan(bound);
    }
    const refused = crowd.connections.filter((each) => saidBy(each).includes(" 503 "));
    expect(refused.length).toBeGreaterThan(10);
    expect(crowd.budget.refusedCalls).toBeGreaterThan(0);
    crowd.budget.verify();
  });

  test("a small request is served meanwhile", () => {
    const crowd = new Crowd();
    for (let count = 0; count < 20; count++) {
      const connection = crowd.open();
      say(connection, HEAD);
      connection.receive(Buffer.alloc(1_000_000, 0x20), 1);
    }
    const modest = crowd.open();
    say(modest, "POST /small HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc");
    expect(crowd.answered).toEqual(["/small"]);
    expect(saidBy(modest)).toStartWith("HTTP/1.1 200 ");
  });

  test("of those who do not read their answers the greediest are ended", () => {
    const crowd = new Crowd();
    for (let count = 0; count < 10; count++) {
      say(crowd.open(), "GET /large HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    expect(crowd.budget.usedBytes).toBeGreaterThan(BUDGET_BYTES);
    crowd.tick();
    expect(crowd.budget.usedBytes).toBeLessThanOrEqual(BUDGET_BYTES);
    expect(crowd.budget.endedConnections).toBeGreaterThan(4);
    const ended = crowd.connections.filter(({ closing }) => closing);
    expect(ended.length).toBe(crowd.budget.endedConnections);
    for (const { output } of ended) expect(output.bytes.length).toBe(0);
  });

  test("what was held is given back: with the request, and with the connection", () => {
    const crowd = new Crowd();
    const connection = crowd.open();
    const before = crowd.budget.usedBytes;
    say(connection, "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 20000\r\n\r\n");
    connection.receive(Buffer.alloc(19_000, 0x20), 1);
    expect(crowd.budget.usedBytes).toBeGreaterThan(before + 19_000);
    connection.receive(Buffer.alloc(1000, 0x20), 1);
    expect(crowd.answered).toEqual(["/a"]);
    const after = crowd.budget.usedBytes;
    expect(after).toBeLessThan(before + 20_000 + 19_000 + KIB); // its input buffer, not its body
    connection.closed(2);
    expect(crowd.budget.usedBytes).toBe(0);
    crowd.budget.verify();
  });
});
