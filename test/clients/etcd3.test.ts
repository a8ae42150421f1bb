/** The etcd client that Node programs use most, npm's etcd3, against our executable. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Etcd3, type IKeyValue, type Watcher } from "etcd3";
import { type ServerProcess, startAether, until } from "../support/processes.ts";

const TTL_SECONDS = 2;

let server: ServerProcess;
let client: Etcd3;

beforeAll(async () => {
  server = await startAether();
  client = new Etcd3({ hosts: `http://${server.endpoint}` });
});
afterAll(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
});

async function revision(): Promise<number> {
  const { header } = await client.get("no-such-key").exec();
  return Number(header.revision);
}

/** What a watcher is told, as text in order. */
function record(watcher: Watcher): string[] {
  const seen: string[] = [];
  const told = (kind: string) => (kv: IKeyValue) => seen.push(`${kind} ${kv.key}=${kv.value}`);
  watcher.on("put", told("put"));
  watcher.on("delete", told("delete"));
  return seen;
}

describe("etcd3", () => {
  test("put, get, prefix range, delete", async () => {
    await client.put("fruit/apple").value("red");
    await client.put("fruit/banana").value("yellow");
    expect(await client.get("fruit/apple").string()).toBe("red");
    expect(await client.get("absent").string()).toBeNull();
    expect(await client.getAll().prefix("fruit/").strings()).toEqual({
      "fruit/apple": "red",
      "fruit/banana": "yellow",
    });
    expect(await client.getAll().prefix("fruit/").sort("Key", "Descend").limit(1).keys()).toEqual([
      "fruit/banana",
    ]);
    expect(await client.getAll().prefix("fruit/").count()).toBe(2);
    const { deleted } = await client.delete().prefix("fruit/");
    expect(Number(deleted)).toBe(2);
  });

  test("a transaction takes the branch that its condition says", async () => {
    const create = () =>
      client
        .if("once", "Create", "==", 0)
        .then(client.put("once").value("first"))
        .else(client.get("once"))
        .commit();
    expect((await create()).succeeded).toBe(true);
    const second = await create();
    expect(second.succeeded).toBe(false);
    expect(String(second.responses[0]?.response_range.kvs[0]?.value)).toBe("first");
  });

  test("software transactional memory: concurrent increments all count", async () => {
    await client.put("counter").value("0");
    const increment = () =>
      client.stm({ retries: 100 }).transact(async (tx) => {
        const value = Number(await tx.get("counter").string());
        await tx.put("counter").value(String(value + 1));
      });
    await Promise.all(Array.from({ length: 8 }, increment));
    expect(await client.get("counter").number()).toBe(8);
  });

  test("a watch from a past revision shows the history, then what happens", async () => {
    await client.put("news/1").value("a");
    const from = await revision();
    await client.put("news/2").value("b");
    await client.delete().key("news/1");
    const watcher = await client.watch().prefix("news/").startRevision(String(from)).create();
    const seen = record(watcher);
    await until("the history is shown", () => seen.length >= 3);
    await client.put("news/3").value("c");
    await until("the live event is shown", () => seen.length >= 4);
    expect(seen).toEqual(["put news/1=a", "put news/2=b", "delete news/1=", "put news/3=c"]);
    await watcher.cancel();
  });

  test("a lease lives while it is renewed, and takes its keys when it ends", async () => {
    const lease = client.lease(TTL_SECONDS);
    await lease.put("leased").value("v");
    const watcher = await client.watch().key("leased").create();
    const seen = record(watcher);
    const { TTL } = await lease.keepaliveOnce();
    expect(Number(TTL)).toBe(TTL_SECONDS);
    expect(seen).toEqual([]);
    lease.release(); // no more renewals: it runs out
    await until("the lease has expired", () => seen.length > 0);
    expect(seen).toEqual(["delete leased="]);
    expect(await client.get("leased").string()).toBeNull();
    await watcher.cancel();
  });

  test("a revoked lease is gone with its keys, and cannot be used again", async () => {
    const lease = client.lease(100);
    await lease.put("held").value("v");
    const id = await lease.grant();
    await lease.revoke();
    expect(await client.get("held").string()).toBeNull();
    const again = client.put("held").value("v").lease(id).exec();
    const error = await again.then(
      () => "none",
      (caught: Error) => caught.message,
    );
    expect(error).toContain("etcdserver: requested lease not found");
  });

  test("locks, made of leases and transactions, exclude each other", async () => {
    const order: string[] = [];
    const locked = (name: string) =>
      client.lock("mutex").do(async () => {
        order.push(`${name} in`);
        await client.put("inside").value(name);
        order.push(`${name} out`);
      });
    await locked("a");
    await locked("b");
    expect(order).toEqual(["a in", "a out", "b in", "b out"]);
    const first = client.lock("mutex");
    await first.acquire();
    const refused = await client
      .lock("mutex")
      .acquire()
      .catch((caught: Error) => caught);
    expect(refused).toBeInstanceOf(Error);
    await first.release();
  });
});
