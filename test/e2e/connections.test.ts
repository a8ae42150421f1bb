/** The room for connections at the executable's doors: nobody takes it from others. */
import { expect, test } from "bun:test";
import type { Socket } from "node:net";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { SOURCE_SHARE } from "../../src/server/doors.ts";
import { connectFrom } from "../support/connect-from.ts";
import { AETHER, requireExecutable, startAether, until } from "../support/processes.ts";

/** Files that the process may open: connections are three quarters of them (net/open-files.ts). */
const FILES = 128;
const CONNECTIONS = 96;

test("an address may have all of it while nobody else comes, and keeps nobody out", async () => {
  await requireExecutable(AETHER);
  const prefix = ["sh", "-c", `ulimit -n ${FILES}; exec "$0" "$@"`, AETHER];
  await using server = await startAether({ prefix });
  const greedy: Socket[] = [];
  const openCount = (): number => greedy.filter(({ closed }) => !closed).length;
  for (let count = 0; count < CONNECTIONS; count++) {
    greedy.push(await idleFrom("127.0.0.2", server.port));
  }
  const surplus = await connectFrom("127.0.0.2", server.port);
  await until("one too many is refused", () => surplus.closed);
  expect(openCount()).toBe(CONNECTIONS);

  const client = new EtcdClient({ endpoints: [server.endpoint] });
  await client.put("k", Buffer.from("v"));
  expect((await client.get("k"))?.value).toEqual(Buffer.from("v"));
  client.close();
  await until("he gave one", () => openCount() === CONNECTIONS - 1);

  const share = Math.ceil(CONNECTIONS * SOURCE_SHARE);
  const others: Socket[] = [];
  for (let count = 0; count < CONNECTIONS; count++) {
    others.push(await idleFrom("127.0.0.3", server.port));
  }
  await until("the rest of his room is theirs", () => openCount() === share);
  await until("no more", () => others.filter(({ closed }) => !closed).length === 24);
  for (const socket of [...greedy, ...others]) socket.destroy();
});

/** One that may stay: it has asked something (net/listener.ts gives it 5 s for that). */
async function idleFrom(localAddress: string, port: number): Promise<Socket> {
  const socket = await connectFrom(localAddress, port);
  socket.write("GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  return socket.resume();
}
