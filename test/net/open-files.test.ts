import { expect, test } from "bun:test";
import { connectionsWithin } from "../../src/net/open-files.ts";

const limits = (open: string): string =>
  `Limit                     Soft Limit           Hard Limit           Units
Max processes             7823                 7823                 processes
Max open files            ${open.padEnd(20)} 1048576              files
`;

test("connections leave a quarter of the open files to others", () => {
  expect(connectionsWithin(20_000, limits("1024"))).toBe(768);
  expect(connectionsWithin(20_000, limits("1048576"))).toBe(20_000);
});

test("where nothing is known, or nothing limited, the wish is the limit", () => {
  expect(connectionsWithin(20_000, "")).toBe(20_000);
  expect(connectionsWithin(20_000, limits("unlimited"))).toBe(20_000);
});

test.skipIf(process.platform !== "linux")("the system's own limit is found", () => {
  expect(connectionsWithin(Number.MAX_SAFE_INTEGER)).toBeLessThan(Number.MAX_SAFE_INTEGER);
});
