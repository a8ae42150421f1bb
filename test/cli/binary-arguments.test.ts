import { expect, test } from "bun:test";
import { join } from "node:path";

test("an argument that is not UTF-8 is refused, not sent as another key", async () => {
  const main = join(import.meta.dir, "../../src/main.ts");
  const command = `exec "$0" "$1" ctl --endpoints 127.0.0.1:1 put "$(printf 'k\\377')" v`;
  const child = Bun.spawn(["bash", "-c", command, process.execPath, main], { stderr: "pipe" });
  expect(await child.stderr.text()).toBe(
    "Error: argument 4 is not valid UTF-8; give a binary value on standard input\n",
  );
  expect(await child.exited).toBe(128);
});
