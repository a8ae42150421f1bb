import { expect, test } from "bun:test";
import type { LogFields } from "../../src/base/ports.ts";
import { silentLog } from "../../src/observe/log.ts";
import { LIMIT_LOG_MS, LimitLog } from "../../src/server/limit-log.ts";

test("the first of a kind is told at once, then one line a while says how many more", () => {
  const said: LogFields[] = [];
  const warn = (message: string, fields: LogFields = {}): void => {
    expect(message).toBe("limit met");
    said.push(fields);
  };
  let [doors, streams] = [0, 0];
  const log = new LimitLog({ ...silentLog, warn }, [
    { limit: "doors", count: () => doors, remote: () => `10.0.0.${doors}:1`, advice: "open" },
    { limit: "streams", count: () => streams, remote: () => "", advice: "raise" },
  ]);
  const tickAt = (nowMs: number): LogFields[] => {
    log.tick(nowMs);
    return said.splice(0);
  };
  expect(tickAt(5)).toEqual([]);
  doors = 3;
  expect(tickAt(10)).toEqual([{ limit: "doors", count: 3, remote: "10.0.0.3:1", advice: "open" }]);
  [doors, streams] = [50, 7];
  expect(tickAt(20)).toEqual([{ limit: "streams", count: 7, advice: "raise" }]); // no address
  doors = 60;
  expect(tickAt(9 + LIMIT_LOG_MS)).toEqual([]);
  expect(tickAt(10 + LIMIT_LOG_MS)).toEqual([
    { limit: "doors", count: 57, remote: "10.0.0.60:1", advice: "open" },
  ]);
  expect(tickAt(100 * LIMIT_LOG_MS)).toEqual([]);
});
