/** Requests for two servers that shall answer alike: every path of the gateway, in one order. */

export interface Step {
  readonly path: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The text of the failure is the server's own business. */
  readonly ownText?: true;
  /** A stream that goes on: how many lines to read of it. */
  readonly lines?: number;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const step = (path: string, body: unknown, more: Partial<Step> = {}): Step => ({
  path: `/v3/${path}`,
  body: typeof body === "string" ? body : JSON.stringify(body),
  ...more,
});
const bad = (body: string): Step => step("kv/range", body, { ownText: true });

const key = base64("foo");
const value = base64("bar");

const KV: readonly Step[] = [
  step("kv/put", { key, value }),
  step("kv/put", { key, value: base64("new"), prev_kv: true }),
  step("kv/put", { key: base64("zoo"), prevKv: true }),
  step("kv/put", { key, lease: "5" }),
  step("kv/put", { key, ignore_value: true, value }),
  step("kv/put", { key: base64("none"), ignoreValue: true }),
  step("kv/put", { value }),
  step("kv/range", { key }),
  step("kv/range", { key, rangeEnd: base64("zz"), limit: "1" }),
  step("kv/range", { key, range_end: base64("zz"), sort_order: "DESCEND", sort_target: "MOD" }),
  step("kv/range", {
    key,
    range_end: base64("zz"),
    sort_order: 2,
    sort_target: 3,
    keys_only: true,
  }),
  step("kv/range", { key: "AA==", range_end: "AA==", count_only: true }),
  step("kv/range", { key, revision: 2, serializable: true }),
  step("kv/range", { key, revision: "99" }),
  step("kv/range", { key, sort_order: 9 }),
  step("kv/range", { key, sort_order: "NOT_THERE", unknown: [{ a: 1 }] }),
  step("kv/range", ""),
  step("kv/range", " "),
  step("kv/range", `{"key":"${key}"} garbage`),
  step("kv/range", { key, limit: "1e3" }),
  step("kv/range", { key, limit: 1.0, revision: "9223372036854775807" }),
  step("kv/txn", {
    compare: [{ key, target: "VALUE", value: base64("new") }],
    success: [
      { request_range: { key } },
      { requestPut: { key, value } },
      { request_txn: { success: [{ request_delete_range: { key: base64("zoo") } }] } },
    ],
  }),
  step("kv/txn", {
    compare: [{ key, result: "GREATER", target: "VERSION", version: "100" }],
    failure: [{ request_delete_range: { key, prev_kv: true } }],
  }),
  step("kv/txn", { success: [{ request_put: {} }] }),
  step("kv/txn", {}),
  step("kv/deleterange", { key: base64("zoo"), prev_kv: true }),
  step("kv/deleterange", { key: "AA==", range_end: "AA==" }),
  step("kv/compaction", { revision: 3 }),
  step("kv/compaction", { revision: 3 }),
  step("kv/compaction", { revision: 300, physical: true }),
  step("kv/range", { key, revision: 2 }),
];

const MALFORMED: readonly Step[] = [
  ...["{bad", "[]", '"x"', "null", "{", '{"key"', '{"key":5}', '{"key":"Y"}', '{"key":"YQ="}'],
  ...['{"key":"-+=="}', '{"key":"YQ==","limit":"abc"}', '{"key":"YQ==","limit":1.5}'],
  ...['{"key":"YQ==","limit":"9223372036854775808"}', '{"key":"YQ==","limit":" 1"}'],
  ...['{"key":"YQ==","serializable":"true"}', '{"key":"YQ==","sort_order":true}'],
  ...['{"key":"YQ==",}', '{"key":"YQ==","range_end":"YQ==","rangeEnd":"YQ=="}'],
].map(bad);

const LEASES: readonly Step[] = [
  step("lease/grant", { TTL: 1000, ID: "77" }),
  step("lease/grant", { TTL: 1000, ID: 77 }),
  step("lease/grant", { TTL: "9223372036854775807" }),
  step("kv/put", { key, value, lease: 77 }),
  step("lease/timetolive", { ID: 77, keys: true }),
  step("kv/lease/timetolive", { ID: "78" }),
  step("lease/leases", {}),
  step("kv/lease/leases", {}),
  step("lease/keepalive", '{"ID":77} {"ID":"78"}'),
  step("lease/keepalive", '{"ID":77}{bad'),
  step("lease/keepalive", ""),
  step("lease/revoke", { ID: 77 }),
  step("kv/lease/revoke", { ID: 77 }),
];

const WATCHES: readonly Step[] = [
  step("watch", { create_request: { key, start_revision: 4 } }, { lines: 2 }),
  step("watch", { createRequest: { key, start_revision: "1" } }, { lines: 2 }),
  step("watch", { create_request: { key, prevKv: true, filters: ["NOPUT"] } }, { lines: 1 }),
  step("watch", '{"create_request":{"key":"YQ=="}}\n{"create_request":{}}', { lines: 2 }),
  step("watch", '{"create_request":{"key":"YQ=="}}{"cancel_request":{}}', { lines: 2 }),
  step("watch", '{"create_request":{"key":"YQ=="}}{bad', { lines: 1 }),
  step("watch", { create_request: { key } }, { headers: { "grpc-timeout": "300m" } }),
  step("watch", "", { headers: { "grpc-timeout": "300m" } }),
];

const MAINTENANCE: readonly Step[] = [
  step("cluster/member/list", {}),
  step("cluster/member/list", { linearizable: true }),
  step("cluster/member/remove", { ID: "1" }),
  step("cluster/member/update", { ID: "1", peerURLs: ["http://127.0.0.1:1"] }),
  step("cluster/member/promote", { ID: 1 }),
  step("cluster/member/add", { peerURLs: ["not a url"] }),
  step("maintenance/alarm", {}),
  step("maintenance/alarm", { action: "ACTIVATE", alarm: "NOSPACE", memberID: 1 }),
  step("maintenance/alarm", { action: "GET" }),
  step("maintenance/alarm", { action: "DEACTIVATE", alarm: "NOSPACE", memberID: 1 }),
  step("maintenance/status", {}),
  step("maintenance/defragment", {}),
  step("maintenance/hash", {}),
  step("maintenance/hashkv", {}),
  step("maintenance/hashkv", { revision: 9999 }),
  step("maintenance/transfer-leadership", { targetID: 1 }),
  step("maintenance/downgrade", { action: "VALIDATE", version: "x" }),
  step("maintenance/downgrade", { action: "CANCEL" }),
  step("maintenance/snapshot", "{bad", { ownText: true }),
];

const COORDINATION: readonly Step[] = [
  step("lease/grant", { TTL: 1000, ID: 5 }),
  step("lock/lock", { name: base64("lock"), lease: 5 }),
  step("lock/unlock", { key: base64("lock/5") }),
  step("lock/lock", { name: base64("lock"), lease: 999 }),
  step("election/leader", { name: base64("vote") }),
  step("election/campaign", { name: base64("vote"), lease: 5, value }),
  step("election/leader", { name: base64("vote") }),
  step("election/observe", { name: base64("vote") }, { lines: 1 }),
  step("election/proclaim", { value }),
  step("election/resign", {}),
  step("lease/revoke", { ID: 5 }),
];

const ROUTES: readonly Step[] = [
  step("nothing", "{}"),
  step("kv/range/", "{}"),
  step("", "{}"),
  { path: "/v3beta/kv/range", body: JSON.stringify({ key }) },
  { path: "/v3beta/nothing", body: "{}" },
  { path: "/v3/kv/range?a=b", body: JSON.stringify({ key }) },
  step("kv/range", { key }, { headers: { "content-type": "application/grpc" } }),
  step("kv/range", { key }, { headers: { "grpc-timeout": "abc" } }),
  step("kv/range", { key }, { headers: { "grpc-timeout": "1n" } }),
  step("kv/range", { key }, { headers: { "grpc-timeout": "-5S" } }),
  step("kv/range", { key }, { headers: { "grpc-metadata-a-bin": "!!" }, ownText: true }),
  step("kv/range", { key }, { headers: { authorization: "nobody" } }),
];

/** Ends with users switched off again. `token` stands for what Authenticate answers. */
const USERS: readonly Step[] = [
  step("auth/status", {}),
  step("auth/enable", {}),
  step("auth/authenticate", { name: "root", password: "r" }),
  step("auth/user/add", { name: "root", password: "r" }),
  step("auth/user/add", { name: "root", password: "r" }),
  step("auth/user/add", { password: "r" }),
  step("auth/user/add", { name: "u", password: "p" }),
  step("auth/user/list", {}),
  step("auth/user/changepw", { name: "u", password: "q" }),
  step("auth/role/add", { name: "root" }),
  step("auth/role/add", { name: "role" }),
  step("auth/role/grant", { name: "role", perm: { permType: "READ", key, range_end: "AA==" } }),
  step("auth/role/grant", { name: "role", perm: { permType: 2, key: base64("x") } }),
  step("auth/role/get", { role: "role" }),
  step("auth/role/revoke", { role: "role", key: base64("x") }),
  step("auth/role/list", {}),
  step("auth/user/grant", { user: "root", role: "root" }),
  step("auth/user/grant", { user: "u", role: "role" }),
  step("auth/user/grant", { user: "u", role: "none" }),
  step("auth/user/get", { name: "u" }),
  step("auth/user/get", { name: "nobody" }),
  step("auth/enable", {}),
  step("kv/range", { key }),
  step("auth/authenticate", { name: "u", password: "wrong" }),
  step("kv/range", { key }, { headers: { authorization: "wrong" } }),
  step("auth/authenticate", { name: "u", password: "q" }),
  step("kv/range", { key }, { headers: { authorization: "token" } }),
  step("kv/put", { key }, { headers: { authorization: "token" } }),
  step("kv/put", { key }, { headers: { "grpc-metadata-token": "token" } }),
  step("watch", { create_request: { key: base64("a") } }, { lines: 1 }),
  step("lease/keepalive", '{"ID":1}'),
  step("auth/user/list", {}, { headers: { authorization: "token" } }),
  step("auth/authenticate", { name: "root", password: "r" }),
  step("auth/user/revoke", { name: "u", role: "role" }, { headers: { authorization: "token" } }),
  step("auth/user/delete", { name: "u" }, { headers: { authorization: "token" } }),
  step("auth/role/delete", { role: "role" }, { headers: { authorization: "token" } }),
  step("auth/status", {}, { headers: { authorization: "token" } }),
  step("auth/disable", {}, { headers: { authorization: "token" } }),
];

export const STEPS: Readonly<Record<string, readonly Step[]>> = {
  KV,
  MALFORMED,
  LEASES,
  WATCHES,
  MAINTENANCE,
  COORDINATION,
  ROUTES,
  USERS,
};

/** GET, or the method given first, of what the addresses for clients answer besides the gateway. */
export const PAGES: readonly string[] = [
  ...["/health", "/health?serializable=true", "/health?exclude=NOSPACE", "/version"],
  ...["/livez", "/livez?verbose", "/livez/serializable_read", "/readyz", "/readyz?exclude=x"],
  ...["/readyz/data_corruption?verbose", "/readyz/linearizable_read", "/readyz/non_learner"],
  ...["/readyz/serializable_read", "/readyz/nothing", "/livez/linearizable_read", "/livez/"],
  ...["/", "/nothing", "/health/", "/metrics/", "/v2/keys", "/v3/", "/v3/kv/range"],
  ...["POST /health", "HEAD /health", "PUT /version", "POST /livez", "POST /readyz/non_learner"],
  ...["OPTIONS /health", "OPTIONS /nothing", "OPTIONS /v3/kv/range", "POST /debug/vars"],
  ...["/v3", "//version", "/v3/../health", "/./health?a=b", "PUT /v3/kv/put", "/debug/pprof/"],
];
