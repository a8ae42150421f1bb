import { expect, test } from "bun:test";
import type { GrpcError } from "../../src/client/grpc-error.ts";
import { sleep, within } from "../../src/client/waiting.ts";

/** The warnings of a process are nobody's business but ours. */
async function warningsOf(run: () => Promise<void>): Promise<string[]> {
  const warnings: string[] = [];
  const note = (warning: Error): void => void warnings.push(warning.name);
  process.on("warning", note);
  await run();
  await Bun.sleep(10); // they come a turn later
  process.off("warning", note);
  return warnings;
}

test("a deadline that has passed is over at once, without a warning", async () => {
  const { signal } = new AbortController();
  const warnings = await warningsOf(async () => {
    await sleep(-5, signal);
    const late = await within(new Promise(() => {}), -5, signal).catch((error: unknown) => error);
    expect((late as GrpcError).codeName).toBe("DEADLINE_EXCEEDED");
  });
  expect(warnings).toEqual([]);
});
