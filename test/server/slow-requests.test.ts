import { expect, test } from "bun:test";
import type { Log } from "../../src/base/ports.ts";
import { CommandTally, NO_METER } from "../../src/node/meter.ts";
import { silentLog } from "../../src/observe/log.ts";
import { WarningMeter } from "../../src/server/slow-requests.ts";
import { CommandKind } from "../../src/state/command.ts";

test("what takes longer than allowed is warned of, and all is measured", () => {
  const said: unknown[] = [];
  const log: Log = { ...silentLog, warn: (message, fields) => said.push([message, fields]) };
  let measured = 0;
  const meter = { ...NO_METER, applied: () => measured++ };
  const limits = { warnApplyMs: 100, warnUnaryMs: 300 };
  const watched = new WarningMeter(meter, limits, log);
  const tally = new CommandTally();
  tally.add(CommandKind.put, true);
  tally.add(CommandKind.put, false);
  watched.applied(tally, 100, 300);
  watched.applied(tally, 5, undefined);
  expect(said).toEqual([]);
  watched.applied(tally, 101, 300.5);
  expect(said).toEqual([
    ["apply request took too long", { took: "101ms", "expected-duration": "100ms", commands: 2 }],
    ["request took too long", { took: "300.5ms", "expected-duration": "300ms", commands: 2 }],
  ]);
  expect(measured).toBe(3);
});
