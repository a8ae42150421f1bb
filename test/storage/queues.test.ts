/** The lists between the main thread and a Worker, longer than where they cut their fronts off. */
import { expect, test } from "bun:test";
import { PendingQueue } from "../../src/storage/pending-queue.ts";
import { RecentEntries } from "../../src/storage/recent-entries.ts";
import { requireSqliteVersion } from "../../src/storage/sqlite.ts";
import { entry } from "./log-store.contract.ts";

test("a pending queue gives back what came in, in order, while more comes", () => {
  const queue = new PendingQueue<number>();
  let pushed = 0;
  let taken = 0;
  for (let round = 0; round < 500; round++) {
    for (let i = 0; i < 20; i++) queue.push(pushed++);
    for (let i = 0; i < 15; i++) expect(queue.take()).toBe(taken++);
    expect(queue.length).toBe(pushed - taken);
  }
  const left: number[] = [];
  queue.forEach((item) => {
    left.push(item);
  });
  expect(left).toEqual(Array.from({ length: pushed - taken }, (_, i) => taken + i));
  while (queue.length > 0) expect(queue.take()).toBe(taken++);
  expect(() => queue.take()).toThrow("answered than were sent");
});

test("recent entries keep the newest within their bytes", () => {
  const recent = new RecentEntries(100 * (200 + 50)); // a hundred entries of 50 bytes
  expect(recent.first).toBe(Number.POSITIVE_INFINITY);
  for (let index = 1; index <= 5000; index++) {
    recent.push(entry(index, 1, "x".repeat(50)));
    expect(recent.first).toBe(Math.max(1, index - 99));
    expect(recent.at(index)?.index).toBe(index);
    expect(recent.at(recent.first)?.index).toBe(recent.first);
    expect(recent.at(recent.first - 1)).toBeUndefined();
  }
  recent.truncate(4951);
  recent.push(entry(4951, 2, "y"));
  expect([recent.first, recent.at(4950)?.term, recent.at(4951)?.term]).toEqual([4901, 1, 2]);
  recent.dropTo(4940);
  expect(recent.first).toBe(4941);
  recent.truncate(1);
  expect(recent.first).toBe(Number.POSITIVE_INFINITY);
  recent.push(entry(9, 3));
  expect(recent.first).toBe(9);
});

test("an entry larger than the bound is not kept, and the next starts afresh", () => {
  const recent = new RecentEntries(1000);
  recent.push(entry(1, 1, "x"));
  recent.push(entry(2, 1, "x".repeat(2000)));
  expect(recent.first).toBe(Number.POSITIVE_INFINITY);
  recent.push(entry(3, 1, "x"));
  expect(recent.first).toBe(3);
});

test("SQLite is new enough or refused", () => {
  for (const good of ["3.51.3", "3.51.10", "3.53.4", "4.0.0"]) requireSqliteVersion(good);
  for (const bad of ["3.51.2", "3.50.9", "2.99.99", "3.51", ""]) {
    expect(() => requireSqliteVersion(bad)).toThrow("is too old: 3.51.3 or newer");
  }
});
