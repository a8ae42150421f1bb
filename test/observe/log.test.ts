import { expect, test } from "bun:test";
import { join } from "node:path";

test("a reader that goes away does not take the process with it", async () => {
  const log = join(import.meta.dir, "../../src/observe/log.ts");
  const script = `
    import { createLog } from ${JSON.stringify(log)};
    const log = createLog({ level: "info", form: "text" });
    log.info("first");
    for await (const _ of process.stdin);
    for (let i = 0; i < 100; i++) log.info("nobody reads this");
    process.exitCode = 7;
  `;
  const child = Bun.spawn([process.execPath, "-e", script], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const reader = child.stdout.getReader();
  await reader.read();
  await reader.cancel();
  child.stdin.end();
  expect(await child.exited).toBe(7);
});
