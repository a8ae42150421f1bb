/** scripts/cluster.ts, as a person or a script uses it. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { freePorts, kindsUnderTest } from "../support/cluster.ts";
import { until } from "../support/processes.ts";
import { type Ended, runToEnd } from "../support/run.ts";

const SCRIPT = join(import.meta.dir, "../../scripts/cluster.ts");
const RUN_MS_MAX = 90_000;

function run(words: readonly string[], input = ""): Promise<Ended> {
  return runToEnd([process.execPath, SCRIPT, ...words], { input, msMax: RUN_MS_MAX });
}

for (const kind of kindsUnderTest()) {
  const own = kind === "etcd" ? ["--etcd"] : [];
  describe(kind, () => {
    test(
      "start: commands from standard input",
      async () => {
        const [port = 0] = await freePorts(1);
        const input = [
          "status",
          "put greeting hello",
          "kill leader",
          "get greeting",
          "status",
          "restart 1\nrestart 2\nrestart 3", // two of them run already
          "pause follower",
          "load 0.2",
          "resume 1\nresume 2\nresume 3",
          "stop follower",
          "quit",
        ].join("\n");
        const words = ["start", "3", "--port", `${port}`, ...own];
        const { status, stdout, stderr } = await run(words, input);
        expect(stderr).toBe("");
        expect(stdout).toMatch(/3 nodes are one cluster after \d+ ms/);
        expect(stdout).toMatch(new RegExp(`m1 .*127\\.0\\.0\\.1:${port} `));
        expect(stdout.match(/^m\d +LEADER /gm)?.length).toBe(3);
        expect(stdout.match(/^m\d +down /gm)?.length).toBe(1);
        expect(stdout).toContain("> get greeting\nhello\n");
        expect(stdout).toMatch(/\d+ written and read back .* none failed/);
        expect(status).toBe(0);
      },
      RUN_MS_MAX,
    );

    test(
      "a script that says something wrong ends there, with status 1, and leaves nothing behind",
      async () => {
        const [port = 0] = await freePorts(1);
        const input = "kill 7\nstatus\n";
        const words = ["start", "3", "--port", `${port}`, ...own];
        const { status, stdout } = await run(words, input);
        expect(stdout).toEndWith("> kill 7\nno node 7: there are 1, 2, 3, leader and follower\n");
        expect(status).toBe(1);
        const listening = await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined);
        expect(listening).toBeUndefined();
      },
      RUN_MS_MAX,
    );

    test(
      "SIGTERM ends the nodes, and then the script with status 0",
      async () => {
        const [port = 0] = await freePorts(1);
        const command = [process.execPath, SCRIPT, "start", "3", "--port", `${port}`, ...own];
        const child = Bun.spawn(command, { stdin: "pipe", stdout: "pipe" });
        let said = "";
        const reading = (async () => {
          for await (const chunk of child.stdout) said += Buffer.from(chunk).toString();
        })();
        await until("the nodes are one cluster", () => said.includes("follower"), RUN_MS_MAX);
        const pids = [...said.matchAll(/ (\d+)$/gm)].map(([, pid]) => Number(pid));
        child.kill("SIGTERM");
        expect(await child.exited).toBe(0);
        await reading;
        expect(pids.length).toBe(3);
        expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
      },
      RUN_MS_MAX,
    );

    test(
      "prove: crashes, pauses, restarts",
      async () => {
        const { status, stdout } = await run(["prove", "3", ...own]);
        console.log(stdout.trimEnd());
        expect(stdout.match(/^ok /gm)?.length).toBe(8);
        expect(stdout).toEndWith("\nproved\n");
        expect(status).toBe(0);
      },
      RUN_MS_MAX,
    );
  });
}

describe("asked wrongly", () => {
  for (const [words, complaint] of [
    [[], "say what to do: start, prove, chaos"],
    [["dance"], 'command: expected start, prove, chaos, got "dance"'],
    [["start", "three"], "number of nodes: expected a whole number from 1 to 9, got three"],
    [["start", "3", "4"], 'unexpected argument "4"'],
    [["start", "--nodes"], "Unknown option '--nodes'"],
  ] as const) {
    test(words.join(" ") || "(nothing)", async () => {
      const { status, stderr } = await run(words);
      expect(stderr).toStartWith(complaint);
      expect(stderr).toContain("--help says more");
      expect(status).toBe(2);
    });
  }

  test("--help", async () => {
    const { status, stdout } = await run(["--help"]);
    expect(stdout).toContain("bun scripts/cluster.ts start");
    expect(status).toBe(0);
  });
});
