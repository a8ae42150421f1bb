/** Namespaces reach each other, do not where a way is cut, and leave nothing behind. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { Namespaces, whyNot } from "./netns.ts";
import { until } from "./processes.ts";

const missing = whyNot();
if (missing !== undefined) console.log(`network namespaces: skipped, ${missing}`);

/** Counts datagrams by sender: unlike TCP, one way is enough for them. */
const LISTENER = `
  await Bun.udpSocket({ hostname: "0.0.0.0", port: 7000, socket: {
    data(socket, bytes, port, address) { console.log(address + " " + bytes.toString()); } } });
  console.log("listening");`;

const SENDER = `
  const socket = await Bun.udpSocket({});
  for (let i = 0; i < 3; i++) socket.send(process.argv[2], 7000, process.argv[1]);
  socket.close();`;

class Host implements AsyncDisposable {
  readonly #process;
  heard = "";

  constructor(prefix: readonly string[]) {
    this.#process = Bun.spawn([...prefix, process.execPath, "-e", LISTENER], { stdout: "pipe" });
    void this.#read();
  }

  async #read(): Promise<void> {
    for await (const chunk of this.#process.stdout) this.heard += Buffer.from(chunk).toString();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}

function send(prefix: readonly string[], to: string, word: string): void {
  const command = [...prefix, process.execPath, "-e", SENDER, to, word];
  const { exitCode, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(stderr.toString());
}

describe.skipIf(missing !== undefined)("namespaces", () => {
  test("carry what is not cut, each way alone", async () => {
    using hosts = new Namespaces(3);
    await using second = new Host(hosts.prefixOf(2));
    await until("it listens", () => second.heard.includes("listening"));
    const one = hosts.prefixOf(1);
    const three = hosts.prefixOf(3);
    const two = hosts.addressOf(2);
    hosts.cut([{ from: 1, to: 2 }]);
    send(one, two, "cut");
    send(three, two, "third");
    send([], two, "control");
    await until(
      "others come through",
      () => /third/.test(second.heard) && /control/.test(second.heard),
    );
    hosts.cut([{ from: 2, to: 1 }]);
    send(one, two, "other-way");
    await until("the other way is no hindrance", () => second.heard.includes("other-way"));
    hosts.cut([
      { from: 1, to: 2 },
      { from: 3, to: 2 },
    ]);
    send(one, two, "cut");
    send(three, two, "cut");
    hosts.cut([]);
    send(one, two, "healed");
    await until("healed", () => second.heard.includes("healed"));
    expect(second.heard).toContain(`${hosts.addressOf(1)} healed`);
    expect(second.heard).not.toContain("cut");
  });

  test("leave nothing behind", () => {
    const before = [...readdirSync("/run/netns"), ...readdirSync("/sys/class/net")];
    const hosts = new Namespaces(2);
    expect(readdirSync("/run/netns").length).toBeGreaterThan(0);
    hosts[Symbol.dispose]();
    expect([...readdirSync("/run/netns"), ...readdirSync("/sys/class/net")]).toEqual(before);
  });

  test("of a runner that was killed go with the next", async () => {
    const module = new URL("./netns.ts", import.meta.url).pathname;
    const script = `const { Namespaces } = await import("${module}");
      new Namespaces(1); process.kill(process.pid, "SIGKILL");`;
    const killed = Bun.spawn([process.execPath, "-e", script]);
    await killed.exited;
    const left = `/run/netns/aet${killed.pid}-0x-1`;
    expect(existsSync(left)).toBe(true);
    new Namespaces(1)[Symbol.dispose]();
    expect(existsSync(left)).toBe(false);
    expect(existsSync(`/sys/class/net/aet${killed.pid}-0x`)).toBe(false);
  });
});
