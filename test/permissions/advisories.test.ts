/**
 * What went wrong with etcd's authorization (reliability.md §4.1), each hole tried by a stranger,
 * by a liar and by users with too few rights, through etcd's family, ours and JSON: refused,
 * without a key or a value that is not theirs, and with nothing changed.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type ServerProcess, startAether } from "../support/processes.ts";
import { Clerk, PERMISSION_DENIED, type Way } from "./clerk.ts";
import { markedValue } from "./filter.ts";
import type { Asked } from "./requests.ts";

const WAYS: readonly Way[] = ["etcd", "native", "json"];
const PASSWORD = "planted: the password of everybody";
const AUTH = "etcdserverpb.Auth";

/** n may nothing, w may write [w, x), r may read the one key r. */
const USERS = ["root", "n", "w", "r"] as const;
const STRANGERS = ["nobody", "liar"] as const;

/** Leases: 7 holds secrets, 8 holds w1. */
const SECRET_LEASE = "7";

const bytes = (text: string): Buffer => Buffer.from(text);
const SECRETS = ["a", "s1", "s2", "z"];

let server: ServerProcess;
let clerk: Clerk;

beforeAll(async () => {
  server = await startAether({ args: ["--bcrypt-cost=4", "--auth-token=simple"] });
  clerk = new Clerk(server.endpoint);
  const must = (name: string, request: object): Promise<unknown> =>
    clerk.must("nobody", `etcdserverpb.${name}`, request);
  for (const name of USERS) await must("Auth/UserAdd", { name, password: PASSWORD });
  await must("Auth/UserGrantRole", { user: "root", role: "root" });
  const grants = [
    ["w", { permType: "WRITE", key: bytes("w"), rangeEnd: bytes("x") }],
    ["r", { permType: "READ", key: bytes("r") }],
  ] as const;
  for (const [name, perm] of grants) {
    await must("Auth/RoleAdd", { name });
    await must("Auth/RoleGrantPermission", { name, perm });
    await must("Auth/UserGrantRole", { user: name, role: name });
  }
  for (const ID of [SECRET_LEASE, "8"]) await must("Lease/LeaseGrant", { ID, TTL: "3600" });
  for (const key of SECRETS) {
    await must("KV/Put", { key: bytes(key), value: markedValue(key), lease: SECRET_LEASE });
  }
  for (const key of ["r", "w1"]) {
    await must("KV/Put", { key: bytes(key), value: markedValue(key), lease: "8" });
  }
  await must("Auth/AuthEnable", {});
  for (const name of USERS) await clerk.logIn(name, PASSWORD);
  clerk.forge("liar", "aaaaaaaaaaaaaaaa.3");
});

afterAll(async () => {
  clerk.close();
  await server[Symbol.asyncDispose]();
});

/** Everything that is stored, and to whom it hangs: what an attack must not change. */
async function everything(): Promise<string> {
  const all = { key: bytes("\0"), rangeEnd: bytes("\0") };
  const { body } = await clerk.must("root", "etcdserverpb.KV/Range", all);
  return JSON.stringify(body.kvs);
}

function asked(rpc: string, native: string | undefined, json: string, request: object): Asked {
  const other = native === undefined ? undefined : `aether.v1.${native}`;
  return { etcd: `etcdserverpb.${rpc}`, native: other, json, request, demands: [], changes: true };
}

/** Refused by all ways, whoever of them asks; nothing of others is seen, nothing is changed. */
async function refuses(who: readonly string[], what: Asked): Promise<void> {
  const before = await everything();
  for (const user of who) {
    for (const way of WAYS) {
      const { ok, code, seen } = await clerk.ask(user, way, what);
      const where = `${user} by ${way}: ${what.etcd} ${JSON.stringify(what.request)}`;
      expect(`${where}: ok ${ok}, sees ${[...seen]}`).toBe(`${where}: ok false, sees `);
      const isUser = (USERS as readonly string[]).includes(user);
      expect(`${where}: ${code}`).toBe(`${where}: ${isUser ? PERMISSION_DENIED : code}`);
      expect(isUser || [3, 16].includes(code)).toBe(true);
    }
  }
  expect(await everything()).toBe(before);
}

const EVERYBODY = [...STRANGERS, "n", "w", "r"];
const txn = (request: object): Asked => asked("KV/Txn", "AetherKV/Txn", "/v3/kv/txn", request);
const range = (key: string, end = ""): object => ({ key: bytes(key), rangeEnd: bytes(end) });

describe("CVE-2026-33413: calls that asked nobody who he is", () => {
  const compaction = asked("KV/Compact", "AetherMaintenance/Compact", "/v3/kv/compaction", {
    revision: "2",
  });
  const lease = (name: string, path: string, request: object): Asked =>
    asked(`Lease/${name}`, `AetherLease/${name}`, `/v3/lease/${path}`, request);
  const alarm = (action: string): Asked =>
    asked("Maintenance/Alarm", undefined, "/v3/maintenance/alarm", { action, alarm: "NOSPACE" });

  test("compaction, alarms and others' leases are not for those without a right", async () => {
    await refuses(EVERYBODY, compaction);
    for (const action of ["ACTIVATE", "DEACTIVATE"]) await refuses(EVERYBODY, alarm(action));
    await refuses(EVERYBODY, lease("LeaseRevoke", "revoke", { ID: SECRET_LEASE }));
    await refuses(EVERYBODY, lease("LeaseLeases", "leases", {}));
  });

  test("members, alarms and new leases are not for strangers", async () => {
    const members = asked(
      "Cluster/MemberList",
      "AetherCluster/MemberList",
      "/v3/cluster/member/list",
      {},
    );
    await refuses(STRANGERS, members);
    await refuses(STRANGERS, alarm("GET"));
    await refuses(STRANGERS, lease("LeaseGrant", "grant", { TTL: "60" }));
    await refuses(STRANGERS, lease("LeaseTimeToLive", "timetolive", { ID: SECRET_LEASE }));
  });

  test("issue 15814: what hangs on a lease is told to who may read it", async () => {
    const request = { ID: SECRET_LEASE, keys: true };
    await refuses(EVERYBODY, lease("LeaseTimeToLive", "timetolive", request));
  });
});

describe("inside a transaction", () => {
  const OPERATIONS: Record<string, object> = {
    "a read": { requestRange: range("s1") },
    "a read of all": { requestRange: range("\0", "\0") },
    "a write": { requestPut: { key: bytes("s1"), value: bytes("taken") } },
    "a deletion": { requestDeleteRange: { ...range("s1", "t"), prevKv: true } },
  };
  const nested = (operation: object, depth: number, branch: string): object =>
    depth === 0 ? operation : { requestTxn: { [branch]: [nested(operation, depth - 1, branch)] } };

  for (const [name, operation] of Object.entries(OPERATIONS)) {
    test(`CVE-2026-33343: ${name}, at any depth, in the branch that does not run too`, async () => {
      for (const depth of [0, 1, 3]) {
        for (const branch of ["success", "failure"]) {
          await refuses(EVERYBODY, txn({ [branch]: [nested(operation, depth, branch)] }));
        }
      }
    });
  }

  test("a condition is a read, of a range as of a key, at any depth", async () => {
    const compare = [{ ...range("s1"), target: "VERSION", result: "GREATER", version: "0" }];
    const wide = [{ ...range("a", "\0"), target: "VERSION", result: "GREATER", version: "0" }];
    for (const each of [compare, wide]) {
      await refuses(EVERYBODY, txn({ compare: each }));
      await refuses(EVERYBODY, txn({ success: [{ requestTxn: { compare: each } }] }));
    }
  });

  test("CVE-2026-44283: prev_kv is a read, and a lease brings what hangs on it", async () => {
    const put = (more: object): object => ({ key: bytes("w1"), value: bytes("v"), ...more });
    for (const more of [{ prevKv: true }, { lease: SECRET_LEASE }]) {
      const operation = { requestPut: put(more) };
      await refuses(["w"], txn({ success: [operation] }));
      await refuses(["w"], txn({ failure: [{ requestTxn: { success: [operation] } }] }));
      await refuses(["w"], asked("KV/Put", "AetherKV/Put", "/v3/kv/put", put(more)));
    }
    const deletion = { ...range("w", "x"), prevKv: true };
    await refuses(["w"], txn({ success: [{ requestDeleteRange: deletion }] }));
    const alone = asked("KV/DeleteRange", "AetherKV/Delete", "/v3/kv/deleterange", deletion);
    await refuses(["w"], alone);
  });
});

describe("ranges", () => {
  const ENDS = ["\0", "s", "r\0\0", "\xff"];

  test("the right to one key is none to what lies behind it", async () => {
    for (const end of ENDS) {
      const what = asked("KV/Range", "AetherKV/Range", "/v3/kv/range", range("r", end));
      await refuses(["r"], what);
      await refuses(["r"], { ...what, etcd: "etcdserverpb.KV/RangeStream", json: undefined });
      const counted = { ...range("r", end), countOnly: true };
      await refuses(["r"], { ...what, request: counted });
    }
  });

  test("GHSA-xg4h-6gfc-h4m8: nor is a watch from it to no end", async () => {
    for (const way of WAYS) {
      if (way === "json") continue; // below
      for (const end of ENDS) {
        const inbox = clerk.watch("r", way);
        inbox.send({ createRequest: { ...range("r", end), startRevision: "1", prevKv: true } });
        const answer = (await inbox.next()) as unknown as Refusal;
        expect(answer).toMatchObject({ created: true, canceled: true, watchId: "-1" });
        expect(answer.cancelReason).toContain("permission denied");
        inbox.cancel();
      }
    }
  });

  test("GHSA-xg4h-6gfc-h4m8 as JSON", async () => {
    const token = await tokenOf("r");
    const createRequest = { key: "cg==", range_end: "AA==", start_revision: "1" };
    const response = await fetch(`http://${server.endpoint}/v3/watch`, {
      method: "POST",
      headers: { authorization: token },
      body: JSON.stringify({ create_request: createRequest }),
    });
    const reader = response.body?.getReader();
    const first = new TextDecoder().decode((await reader?.read())?.value);
    await reader?.cancel();
    expect(first).toContain("permission denied");
    expect(first).not.toContain("value of");
  });

  test("issue 15619: permissions over nothing, or backwards, cannot be granted", async () => {
    for (const perm of [{ key: bytes("") }, range("b", "b"), range("b", "a"), range("", "\0")]) {
      for (const service of ["etcdserverpb.Auth", "aether.v1.AetherAuth"]) {
        const request = { name: "r", perm: { permType: "READ", ...perm } };
        const grant = clerk.must("root", `${service}/RoleGrantPermission`, request);
        await expect(grant).rejects.toThrow("invalid auth management");
      }
    }
  });
});

interface Refusal {
  readonly cancelReason: string;
}

async function tokenOf(name: string): Promise<string> {
  const request = { name, password: PASSWORD };
  const { body } = await clerk.must("nobody", `${AUTH}/Authenticate`, request);
  return (body as unknown as { token: string }).token;
}

test("etcd's pull request 22386: an alarm for want of space lets nobody in", async () => {
  const alarm = (action: string): Promise<unknown> =>
    clerk.must("root", "etcdserverpb.Maintenance/Alarm", { action, alarm: "NOSPACE" });
  const deletion = asked("KV/DeleteRange", "AetherKV/Delete", "/v3/kv/deleterange", range("s1"));
  const read = asked("KV/Range", "AetherKV/Range", "/v3/kv/range", range("s1"));
  for (const action of ["ACTIVATE", "DEACTIVATE"]) {
    await alarm(action);
    await refuses(EVERYBODY, deletion);
    await refuses(EVERYBODY, read);
    await refuses(EVERYBODY, txn({ success: [{ requestDeleteRange: range("s1") }] }));
  }
});

test("CVE-2021-28235, and tokens in logs: neither is in the log, nor in any file", async () => {
  const token = await tokenOf("w");
  await clerk.ask("liar", "etcd", asked("KV/Range", undefined, "/v3/kv/range", range("a")));
  const files = readdirSync(server.dataDir, { recursive: true, encoding: "utf8" })
    .map((file) => join(server.dataDir, file))
    .filter((file) => statSync(file).isFile());
  expect(files.length).toBeGreaterThan(1);
  const texts = [server.log, ...files.map((file) => readFileSync(file, "latin1"))];
  for (const text of texts) expect(text.includes(PASSWORD)).toBe(false);
  for (const planted of [token, "aaaaaaaaaaaaaaaa.3"]) {
    expect(server.log.includes(planted)).toBe(false);
  }
});
