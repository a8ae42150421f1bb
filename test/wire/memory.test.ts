/**
 * What all connections together may hold: the accounts add up at each step of hostile and honest
 * traffic, the greediest go first, and nobody within a fair share ever does.
 */
import { describe, expect, test } from "bun:test";
import { KIB, MIB } from "../../src/base/units.ts";
import { STREAM_BYTES } from "../../src/wire/http2/limits.ts";
import { COLLECT_BYTES, FAIR_BYTES, MemoryBudget } from "../../src/wire/memory.ts";
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  fieldOf,
  frame,
  HEADERS,
  message,
  NONE,
  RawClient,
  RST_STREAM,
  requestFields,
  STREAM_PATH,
  u32,
  WINDOW_UPDATE,
} from "./http2/kit.ts";

const WIDE: [number, number] = [4, 0x7fffffff];
const wide = (): Buffer => frame(WINDOW_UPDATE, 0, 0, u32(0x7fff0000 - 65_535));

describe("the budget", () => {
  test("condemns the greediest, and no more than it must", () => {
    const budget = new MemoryBudget(8 * MIB);
    const accounts = [1, 5, 3, 2].map((mib) => {
      const account = budget.open();
      account.add(mib * MIB);
      return account;
    });
    budget.verify();
    expect(accounts.map((account) => account.mustEnd())).toEqual([false, true, false, false]);
    expect(budget.usedBytes).toBe(6 * MIB);
    expect(budget.endedConnections).toBe(1);
    budget.verify();
  });

  test("spares who holds little, however many they are", () => {
    const budget = new MemoryBudget(MIB);
    const accounts = Array.from({ length: 100 }, () => budget.open());
    for (const account of accounts) account.add(FAIR_BYTES);
    expect(accounts.some((account) => account.mustEnd() || account.refuses())).toBe(false);
  });

  test("collects what the ended have left, once it is much", () => {
    let [collected, isBusy] = [0, false];
    const budget = new MemoryBudget(MIB, () => {
      if (!isBusy) collected++;
      return !isBusy;
    });
    const honest = budget.open();
    const endOne = (bytes: number): void => {
      const account = budget.open();
      account.add(bytes);
      expect(account.mustEnd()).toBe(true);
      expect(account.mustEnd()).toBe(true); // its connection may take a while to close
      expect(honest.mustEnd()).toBe(false);
    };
    endOne(COLLECT_BYTES - MIB);
    expect(collected).toBe(0);
    endOne(2 * MIB);
    expect(collected).toBe(1);
    isBusy = true;
    endOne(COLLECT_BYTES + MIB);
    expect(collected).toBe(1);
    isBusy = false;
    expect(honest.mustEnd()).toBe(false);
    expect(collected).toBe(2);
    endOne(COLLECT_BYTES - MIB);
    expect(collected).toBe(2);
  });

  test("counts no longer what is closed", () => {
    const budget = new MemoryBudget(MIB);
    const account = budget.open();
    account.add(100);
    account.estimate(50);
    account.estimate(20);
    expect(budget.usedBytes).toBe(120);
    account.close();
    account.close();
    account.add(7);
    expect(budget.usedBytes).toBe(0);
    budget.verify();
  });
});

describe("a connection's account", () => {
  test("an incomplete message counts as it comes, and no more when it is over", () => {
    const memory = new MemoryBudget();
    const client = RawClient.open({ memory });
    const before = memory.usedBytes;
    const bytes = message(Buffer.alloc(60_000));
    client.send(client.headers(1), frame(DATA, 0, 1, bytes.subarray(0, 16_384)));
    expect(memory.usedBytes - before).toBeGreaterThanOrEqual(16_384);
    client.send(frame(RST_STREAM, 0, 1, u32(8)));
    expect(memory.usedBytes).toBe(before);
    client.send(client.headers(3), frame(DATA, 0, 3, bytes.subarray(0, 16_384)));
    client.send(frame(DATA, 0, 3, bytes.subarray(16_384, 32_768)));
    client.send(frame(DATA, 0, 3, bytes.subarray(32_768, 49_152)));
    client.send(frame(DATA, END_STREAM, 3, bytes.subarray(49_152)));
    client.tick(100).tick(200); // the answer's buffer goes
    expect(memory.usedBytes - before).toBeLessThanOrEqual(64 * KIB + 8 * KIB);
    memory.verify();
  });

  test("header lists count while their streams are open, those of a known block once", () => {
    const memory = new MemoryBudget();
    const client = RawClient.open({ memory });
    const before = memory.usedBytes;
    const fields = requestFields(STREAM_PATH, ["x-large", "a".repeat(5000)]);
    for (const id of [1, 3, 5]) client.send(client.headers(id, fields));
    client.tick(100);
    expect(memory.usedBytes - before).toBeGreaterThan(3 * 5000);
    for (const id of [1, 3, 5]) client.send(frame(RST_STREAM, 0, id, u32(8)));
    client.tick(200);
    expect(memory.usedBytes - before).toBeLessThan(5000);
    const usual = requestFields(STREAM_PATH);
    for (const id of [7, 9]) client.send(client.headers(id, usual)); // the first enters the table
    client.tick(300);
    const two = memory.usedBytes;
    for (let id = 11; id < 31; id += 2) client.send(client.headers(id, usual));
    client.tick(400);
    expect(memory.usedBytes - two).toBeLessThanOrEqual(10 * STREAM_BYTES + 2 * KIB);
    memory.verify();
  });

  test("the header list of a cancelled call counts until its handler has ended", () => {
    const memory = new MemoryBudget();
    const client = RawClient.open({ memory });
    const before = memory.usedBytes;
    const fields = requestFields("/test.Service/Late", ["x-large", "a".repeat(5000)]);
    client.send(client.request(1, "x", fields), frame(RST_STREAM, 0, 1, u32(8)));
    client.tick(100);
    expect(memory.usedBytes - before).toBeGreaterThan(5000);
    client.seen.calls[0]?.reply(NONE, 0, 0);
    client.tick(200);
    expect(memory.usedBytes - before).toBeLessThan(1000);
  });

  test("a connection that goes leaves garbage, a trusted one's was never counted", () => {
    let collected = 0;
    const budget = new MemoryBudget(4 * COLLECT_BYTES, () => {
      collected++;
      return true;
    });
    const [honest, gone, trusted] = [budget.open(), budget.open(), budget.open()];
    gone.add(COLLECT_BYTES);
    trusted.add(COLLECT_BYTES);
    trusted.trust();
    trusted.close();
    expect([honest.mustEnd(), collected]).toEqual([false, 0]);
    gone.close();
    gone.close();
    expect([honest.mustEnd(), collected]).toEqual([false, 1]);
    expect([honest.mustEnd(), collected]).toEqual([false, 1]);
  });

  test("fields of the table are nobody's own: naming them again costs a place", () => {
    const memory = new MemoryBudget();
    const client = RawClient.open({ memory });
    const text = (of: string): Buffer => Buffer.concat([Buffer.from([of.length]), Buffer.from(of)]);
    const fields = [
      ...[Buffer.from([0x83, 0x86, 0x04]), text(STREAM_PATH)], // POST, http, :path
      ...[Buffer.from([0x0f, 0x10]), text("application/grpc")], // content-type
    ];
    // Into the table: a value of 3000 bytes (127 + 0x39 + 0x16 × 128), index 62 from then on.
    const entry = [Buffer.from([0x40]), text("x-large"), Buffer.from([0x7f, 0xb9, 0x16])];
    const large = Buffer.concat([...fields, ...entry, Buffer.alloc(3000, "a")]);
    client.send(frame(HEADERS, END_HEADERS, 1, large));
    client.tick(100);
    const one = memory.usedBytes;
    expect(one).toBeGreaterThan(3000);
    for (let id = 3; id < 103; id += 2) {
      const other = [Buffer.from([0x00]), text("x-id"), text(`${id}`)]; // so that no block is known
      const named = [...fields, ...other, Buffer.alloc(4, 0xbe)];
      client.send(frame(HEADERS, END_HEADERS, id, Buffer.concat(named)));
    }
    client.tick(200);
    expect(memory.usedBytes - one).toBeLessThan(50 * (STREAM_BYTES + 2 * KIB));
    expect(client.end).toBe("open");
  });

  test("answers that wait count, and go with the stream", () => {
    const memory = new MemoryBudget();
    const client = RawClient.open({ memory }, [4, 0]);
    const before = memory.usedBytes;
    client.send(client.request(1, Buffer.alloc(10_000)));
    expect(memory.usedBytes - before).toBeGreaterThanOrEqual(10_000);
    client.send(frame(RST_STREAM, 0, 1, u32(8)));
    expect(memory.usedBytes).toBe(before);
  });

  test("a body over HTTP counts until it is answered", () => {
    const http = { handler: () => undefined, bodyBytesMax: MIB };
    const memory = new MemoryBudget();
    const client = RawClient.open({ memory, http });
    const before = memory.usedBytes;
    const fields = [":method", "POST", ":scheme", "http", ":path", "/x", ":authority", "a"];
    client.send(client.headers(1, fields), frame(DATA, 0, 1, Buffer.alloc(16_000)));
    expect(memory.usedBytes - before).toBeGreaterThanOrEqual(16_000);
    client.send(frame(RST_STREAM, 0, 1, u32(8)));
    expect(memory.usedBytes).toBe(before);
  });

  test("is closed with the connection", () => {
    const memory = new MemoryBudget();
    const client = RawClient.open({ memory }, [4, 0]);
    client.send(client.request(1, Buffer.alloc(10_000)));
    client.server.closed(0);
    expect(memory.usedBytes).toBe(0);
  });

  test("adds up through random traffic", () => {
    const memory = new MemoryBudget();
    const clients = [0, 1, 2].map(() => RawClient.open({ memory }, WIDE));
    for (const client of clients) client.send(wide());
    for (let round = 0; round < 300; round++) {
      const client = clients[round % 3] as RawClient;
      const id = round * 2 + 1;
      const bytes = message(Buffer.alloc((round * 7919) % 50_000));
      const path = requestFields(round % 2 === 0 ? STREAM_PATH : undefined);
      const cut = Math.min(bytes.length, 16_384, (round * 104_729) % 20_000);
      client.send(client.headers(id, path), frame(DATA, 0, id, bytes.subarray(0, cut)));
      if (round % 5 === 0) client.send(frame(RST_STREAM, 0, id, u32(8)));
      if (round % 7 === 0) client.tick(round * 20);
      memory.verify();
    }
    for (const client of clients) client.server.closed(0);
    memory.verify();
    expect(memory.usedBytes).toBe(0);
  });
});

describe("over the budget", () => {
  /** Two hold answers that they do not take; the third is honest. */
  function crowd(budgetBytes: number): { memory: MemoryBudget; clients: RawClient[] } {
    const memory = new MemoryBudget(budgetBytes);
    const clients = [WIDE, WIDE, WIDE].map((entry) => RawClient.open({ memory }, entry));
    for (const [index, client] of clients.slice(0, 2).entries()) {
      client.send(wide());
      for (let id = 1; id < 20 + 200 * index; id += 2) {
        client.server.receive(client.request(id, Buffer.alloc(10_000)), 0);
      }
    }
    return { memory, clients };
  }

  test("new calls of who is above the share are refused, of others served", () => {
    const { memory, clients } = crowd(256 * KIB);
    const [, greedy, honest] = clients as [RawClient, RawClient, RawClient];
    const before = memory.refusedCalls;
    expect(memory.isOver).toBe(true);
    honest.send(honest.request(1));
    expect(honest.answer(1).data.length).toBeGreaterThan(0);
    greedy.server.receive(greedy.request(1001), 0);
    greedy.read();
    expect(fieldOf(greedy.answer(1001).fields[0], "grpc-status")).toBe("8");
    expect(memory.refusedCalls).toBe(before + 1);
  });

  test("the greediest is ended with its next tick, its output dropped", () => {
    const { memory, clients } = crowd(MIB);
    for (const client of clients) client.server.tick(100);
    expect(clients.map((client) => client.server.closing)).toEqual([false, true, false]);
    expect(clients[1]?.server.reason).toBe("holds too much memory");
    expect(clients[1]?.server.output.pending).toBe(0);
    expect(memory.isOver).toBe(false);
    memory.verify();
  });

  test("large answers of calls that had begun before are dropped", () => {
    const memory = new MemoryBudget(MIB);
    const client = RawClient.open({ memory }, [4, 0]);
    const late = requestFields("/test.Service/Late");
    for (let id = 1; id < 40; id += 2) client.send(client.request(id, "x", late));
    const answer = Buffer.alloc(300_000);
    for (const call of client.seen.calls) call.reply(answer, 0, answer.length);
    client.read();
    expect(memory.usedBytes).toBeLessThan(2 * MIB);
    expect(memory.refusedCalls).toBeGreaterThan(10);
    expect(client.server.openCalls).toBeLessThan(5);
  });

  test("callers that are known are not counted", () => {
    const memory = new MemoryBudget(MIB);
    const room = { receiveBytesMax: 8 * MIB, windowBytes: 8 * MIB };
    const client = RawClient.open({
      memory,
      methods: [
        {
          path: STREAM_PATH,
          stream: () => ({
            room,
            onMessage: () => undefined,
            onHalfClose: () => undefined,
            onCancel: () => undefined,
            onDrain: () => undefined,
          }),
        },
      ],
    });
    client.send(client.headers(1, requestFields(STREAM_PATH)));
    const bytes = message(Buffer.alloc(4 * MIB));
    for (let at = 0; at < 2 * MIB; at += 16_384) {
      client.send(frame(DATA, 0, 1, bytes.subarray(at, at + 16_384)));
    }
    expect(client.tick(100).end).toBe("open");
    expect(memory.usedBytes).toBe(0);
  });
});
