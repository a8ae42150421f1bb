/** The table of limits in README.md is that of the constants. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { GIB, KIB, MIB } from "../src/base/units.ts";
import { jsonBytesMax } from "../src/gateway/json/call.ts";
import { HANDSHAKES_MAX, HANDSHAKES_PER_SOURCE_MAX } from "../src/net/handshakes.ts";
import { CONNECTIONS_MAX } from "../src/net/listener.ts";
import { HANDSHAKE_MS_MAX } from "../src/net/tls-gate.ts";
import { CALLS_MAX, CALLS_MIN, WAIT_MS_TARGET } from "../src/node/call-limit.ts";
import { TXN_KEYS_MAX } from "../src/rpc/kv.ts";
import { LARGE_READS_BYTES_MAX, STALLED_MS } from "../src/rpc/large-reads.ts";
import { LOGINS_WAITING_MAX } from "../src/rpc/login-queue.ts";
import { WAITING_CALLS_MAX } from "../src/rpc/waiting-calls.ts";
import { loadConfig } from "../src/server/config/config.ts";
import { SOURCE_SHARE } from "../src/server/doors.ts";
import { LIMIT_LOG_MS } from "../src/server/limit-log.ts";
import { TXN_READ_BYTES_MAX } from "../src/state/txn.ts";
import { RECEIVE_BYTES_DEFAULT } from "../src/wire/grpc/grpc-server.ts";
import { HTTP_LIMITS } from "../src/wire/http1/limits.ts";
import { HEADER_LIST_BYTES_MAX, SERVER_LIMITS } from "../src/wire/http2/limits.ts";
import { MEMORY_BYTES_MAX } from "../src/wire/memory.ts";

const readme = await Bun.file(join(import.meta.dir, "../README.md")).text();
const [, section = ""] = readme.split("### Limits\n");
const [table = ""] = section.split("\n## ");
const rows = new Map(
  [...table.matchAll(/^\|(.*)\|$/gm)].slice(2).map(([, row = ""]) => {
    const [what = "", ...cells] = row.split("|").map((cell) => cell.trim());
    return [what, cells];
  }),
);

const count = (value: number): string => value.toLocaleString("en-US");
const bytes = (value: number): string => {
  if (value >= GIB) return `${value / GIB} GiB`;
  return value >= MIB ? `${Number((value / MIB).toFixed(1))} MiB` : `${value / KIB} KiB`;
};
const { requestBytesMax, txnOpsMax } = loadConfig({ environment: {}, flags: new Map() });

test("each limit is the constant's", () => {
  const amounts = Object.fromEntries([...rows].map(([what, [amount]]) => [what, amount]));
  expect(amounts).toEqual({
    "Connections of an address for clients": count(CONNECTIONS_MAX),
    "of one source, while others come": `${100 * SOURCE_SHARE} % of these`,
    "TLS handshakes under way": count(HANDSHAKES_MAX),
    "TLS handshakes of one source": count(HANDSHAKES_PER_SOURCE_MAX),
    "Calls under way on a connection": count(SERVER_LIMITS.concurrentStreamsMax),
    "Header fields of a request": bytes(HEADER_LIST_BYTES_MAX),
    "A request": bytes(requestBytesMax),
    "Body of an HTTP request": bytes(jsonBytesMax(RECEIVE_BYTES_DEFAULT)),
    "Operations of a transaction": count(txnOpsMax),
    "Keys that a transaction looks at": count(TXN_KEYS_MAX),
    "Answer of a transaction": bytes(TXN_READ_BYTES_MAX),
    "Large reads, all together": bytes(LARGE_READS_BYTES_MAX),
    "Held for callers, all together": bytes(MEMORY_BYTES_MAX),
    "Calls that wait for consensus": `${count(CALLS_MIN)} to ${count(CALLS_MAX)}`,
    "Calls that wait for locks, elections": count(WAITING_CALLS_MAX),
    "Logins that wait": count(LOGINS_WAITING_MAX),
    "Names under which HTTP answers": "its own, and addresses",
    "Pages that may ask over HTTP": "its own",
  });
  expect(HTTP_LIMITS.fieldBytesMax).toBe(HEADER_LIST_BYTES_MAX);
});

test("and so are the figures beside them", () => {
  const beside = (what: string): string => rows.get(what)?.slice(1).join(" ") ?? "";
  expect(beside("TLS handshakes under way")).toContain(`after ${HANDSHAKE_MS_MAX / 1000} s`);
  expect(beside("Large reads, all together")).toContain(`for ${STALLED_MS / 1000} s`);
  expect(beside("Calls that wait for consensus")).toContain(`in ${WAIT_MS_TARGET} ms`);
  expect(LIMIT_LOG_MS).toBe(10_000); // "at most once in ten seconds"
  expect(section).toContain("at most once in ten");
});

test("what gives more is a setting that there is", () => {
  const flags = new Map([
    ["max-concurrent-streams", "20000"],
    ["max-request-bytes", `${16 * MIB}`],
    ["max-txn-ops", "256"],
    ["http-allowed-hosts", "aether.example"],
  ]);
  for (const flag of [...flags.keys()].slice(0, 3)) expect(table).toContain(`\`--${flag}\``);
  const config = loadConfig({ environment: {}, flags });
  const { concurrentStreamsMax, http } = config;
  expect([concurrentStreamsMax, config.requestBytesMax]).toEqual([20_000, 16 * MIB]);
  expect([config.txnOpsMax, http.hostWhitelist]).toEqual([256, ["aether.example"]]);
});
