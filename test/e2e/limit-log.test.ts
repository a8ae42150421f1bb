/** Limits that callers meet, in the log of the executable: one line, who and what to do. */
import { expect, test } from "bun:test";
import { request } from "node:http";
import type { Socket } from "node:net";
import { connectFrom } from "../support/connect-from.ts";
import { AETHER, requireExecutable, startAether, until } from "../support/processes.ts";

/** Files that the process may open: connections are three quarters of them (net/open-files.ts). */
const FILES = 128;
const CONNECTIONS = 96;
const TOO_MANY = 4;
const STRANGERS = 50;

test("who meets a limit is told of once, with what to raise", async () => {
  await requireExecutable(AETHER);
  const prefix = ["sh", "-c", `ulimit -n ${FILES}; exec "$0" "$@"`, AETHER];
  await using server = await startAether({ prefix });
  const lines = (limit: string): string[] =>
    server.log.split("\n").filter((line) => line.includes("limit met") && line.includes(limit));

  for (let asked = 0; asked < STRANGERS; asked++) {
    expect(await statusUnder("evil.example", server.port)).toBe(421);
  }
  await until("strangers are told of", () => lines("HTTP hosts").length > 0);
  expect(lines("HTTP hosts")[0]).toMatch(/warn .*count=\d+ .*127\.0\.0\.1.*allowed_hosts/);

  const sockets: Socket[] = [];
  for (let opened = 0; opened < CONNECTIONS + TOO_MANY; opened++) {
    sockets.push(await connectFrom("127.0.0.2", server.port));
  }
  await until("connections are told of", () => lines("connections of clients").length > 0);
  expect(lines("connections of clients")[0]).toMatch(/count=\d+ .*127\.0\.0\.2.*ulimit -n/);
  for (const socket of sockets) socket.destroy();
  expect([lines("HTTP hosts").length, lines("connections of clients").length]).toEqual([1, 1]);
});

/** The status of what is asked for under another name. */
function statusUnder(host: string, port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path: "/version", headers: { host } });
    asked.once("error", reject);
    asked.once("response", (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    asked.end();
  });
}
