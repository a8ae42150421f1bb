/** The proxies tell members apart by their processes, and count each way for itself. */
import { expect, test } from "bun:test";
import { Proxied } from "./peer-network.ts";
import { until } from "./processes.ts";

const onLinux = process.platform === "linux";

const CALLER = `
  await Bun.connect({ hostname: "127.0.0.1", port: Number(process.argv[1]), socket: {
    open(socket) { socket.write("abc"); }, data() {}, close() { console.log("closed"); } } });
  await new Promise(() => {});`;

class Caller implements AsyncDisposable {
  readonly #process;
  said = "";

  constructor(port: number) {
    const command = [process.execPath, "-e", CALLER, `${port}`];
    this.#process = Bun.spawn(command, { stdout: "pipe", stderr: "ignore" });
    void this.#read();
  }

  get pid(): number {
    return this.#process.pid;
  }

  get ended(): boolean {
    return this.#process.exitCode !== null;
  }

  async #read(): Promise<void> {
    for await (const chunk of this.#process.stdout) this.said += Buffer.from(chunk).toString();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}

test.skipIf(!onLinux)("each way between two members is one direction", async () => {
  using network = new Proxied(1);
  const answering = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket, bytes) => void socket.write(`${bytes}${bytes}`) },
  });
  const address = network.advertised(3, answering.port);
  const port = Number(address.split(":")[1]);
  const bytes = (from: number, to: number): number => network.direction(from, to).bytes;
  await using stranger = new Caller(port);
  // Told after its connection was made, or before: then it fails to connect.
  await until(
    "nobody knows the stranger",
    () => stranger.said.includes("closed") || stranger.ended,
  );
  network.onStarted(1, process.pid);
  await using second = new Caller(port);
  network.onStarted(2, second.pid);
  await until("the second was answered", () => bytes(3, 2) === 6);
  expect([bytes(2, 3), bytes(1, 3), bytes(3, 1)]).toEqual([3, 0, 0]);
  const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
  socket.write("ab");
  await until("the first was answered", () => bytes(3, 1) === 4);
  expect([bytes(1, 3), bytes(2, 3), bytes(3, 2)]).toEqual([2, 3, 6]);
  network.reset(2, 3);
  await until("the second's connection is broken off", () => second.said.includes("closed"));
  socket.write("ab");
  await until("the first's is not", () => bytes(3, 1) === 8);
  socket.end();
  answering.stop(true);
});
