/** The HTTP side of both ports, over HTTP/1.1 and HTTP/2: health, version, metrics, cluster. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:http2";
import { GrpcJsClient } from "../support/grpc-js.ts";
import { type ServerProcess, startAether } from "../support/processes.ts";
import { parseMetrics } from "./prometheus.ts";

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

type Request = (host: string, path: string, method?: string) => Promise<Answer>;

const overHttp1: Request = async (host, path, method = "GET") => {
  const response = await fetch(`http://${host}${path}`, { method });
  const type = response.headers.get("content-type") ?? "";
  return { status: response.status, type, body: await response.text() };
};

/** HTTP/2 with prior knowledge, without TLS. */
const overHttp2: Request = (host, path, method = "GET") =>
  new Promise((resolve, reject) => {
    const session = connect(`http://${host}`);
    session.once("error", reject);
    const stream = session.request({ ":path": path, ":method": method });
    let head = { status: 0, type: "" };
    let body = "";
    stream.on("response", (fields) => {
      head = { status: Number(fields[":status"]), type: String(fields["content-type"] ?? "") };
    });
    stream.on("data", (chunk) => {
      body += String(chunk);
    });
    stream.on("end", () => {
      session.close();
      resolve({ ...head, body });
    });
    stream.once("error", reject);
    stream.end();
  });

let server: ServerProcess;

beforeAll(async () => {
  server = await startAether();
  const client = new GrpcJsClient(server.endpoint);
  const request = { key: Buffer.from("k"), value: Buffer.from("v") };
  await client.unary("etcdserverpb.KV/Put", request);
  await client.refusal("etcdserverpb.KV/Put", {});
  client.close();
});
afterAll(() => server[Symbol.asyncDispose]());

const PROTOCOLS = { "HTTP/1.1": overHttp1, "HTTP/2": overHttp2 } as const;
const PORTS = {
  "client port": () => server.endpoint,
  "metrics port": () => server.metricsEndpoint,
} as const;

for (const [protocol, request] of Object.entries(PROTOCOLS)) {
  for (const [port, host] of Object.entries(PORTS)) {
    describe(`${protocol}, ${port}`, () => {
      const get = (path: string): Promise<Answer> => request(host(), path);

      test("/health, linearizable and serializable", async () => {
        for (const path of ["/health", "/health?serializable=true", "/health?exclude=NOSPACE"]) {
          const { status, type, body } = await get(path);
          expect([status, type, body]).toEqual([
            200,
            "text/plain; charset=utf-8",
            '{"health":"true","reason":""}',
          ]);
        }
      });

      test("/livez and /readyz, whole and one check, verbose and excluded", async () => {
        for (const path of ["/livez", "/readyz", "/livez/serializable_read", "/health/live"]) {
          expect(await get(path)).toMatchObject({ status: 200, body: "ok\n" });
        }
        expect((await get("/readyz/linearizable_read")).body).toBe("ok\n");
        expect((await get("/health/ready")).body).toBe("ok\n");
        const verbose = await get("/readyz?verbose");
        const checks = ["data_corruption", "serializable_read", "linearizable_read", "non_learner"];
        for (const check of checks) expect(verbose.body).toContain(`[+]${check} ok\n`);
        const fewer = await get("/readyz?verbose&exclude=linearizable_read");
        expect(fewer.body).not.toContain("linearizable_read");
        expect(fewer.body).toContain("[+]serializable_read ok\n");
        expect((await get("/readyz/no_such_check")).status).toBe(404);
      });

      test("/version, which is for clients", async () => {
        const { status, body } = await get("/version");
        if (port === "client port") {
          expect(JSON.parse(body)).toEqual({
            etcdserver: "3.7.1",
            etcdcluster: "3.7.0",
            storage: "3.7.0",
          });
        } else expect(status).toBe(404);
      });

      test("calls and /v3/ are for clients", async () => {
        const { status } = await request(host(), "/v3/kv/range", "POST");
        expect(status).toBe(port === "client port" ? 400 : 404);
        const client = new GrpcJsClient(host());
        const call = client.unary("etcdserverpb.KV/Range", { key: Buffer.from("k") });
        const text = await call.then(
          () => "answered",
          (error) => String(error),
        );
        client.close();
        if (port === "client port") expect(text).toBe("answered");
        else expect(text).toContain("unknown service etcdserverpb.KV");
      });

      test("/metrics is well-formed and counts", async () => {
        const { status, type, body } = await get("/metrics");
        expect(status).toBe(200);
        expect(type).toBe("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
        const { samples, complaints } = parseMetrics(body);
        expect(complaints).toEqual([]);
        expect(samples.get("etcd_server_has_leader")).toBe(1);
        expect(samples.get("etcd_debugging_mvcc_keys_total")).toBe(1);
        expect(samples.get("etcd_debugging_mvcc_current_revision")).toBe(2);
        const put = 'grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"';
        expect(samples.get(`grpc_server_started_total{${put}}`)).toBe(2);
        const handled = (code: string) =>
          samples.get(`grpc_server_handled_total{grpc_code="${code}",${put}}`);
        expect([handled("OK"), handled("InvalidArgument")]).toEqual([1, 1]);
        expect(samples.get("process_resident_memory_bytes")).toBeGreaterThan(1e6);
      });

      test("/cluster shows the member", async () => {
        const { status, body } = await get("/cluster");
        expect(status).toBe(200);
        const { members } = JSON.parse(body);
        expect(members).toHaveLength(1);
        expect(members[0]).toMatchObject({ role: "leader", reachable: true, revision: 2 });
      });

      test("what is not there is 404, what is not GET is 405", async () => {
        for (const path of ["/", "/no-such", "/livez/a/b", "/metricsx", "/%00", "/health/dead"]) {
          expect((await get(path)).status).toBe(404);
        }
        for (const method of ["POST", "PUT", "DELETE"]) {
          expect((await request(host(), "/health", method)).status).toBe(405);
        }
      });

      test("HEAD has no body", async () => {
        expect(await request(host(), "/metrics", "HEAD")).toMatchObject({ status: 200, body: "" });
        expect(await request(host(), "/health", "HEAD")).toMatchObject({ status: 405, body: "" });
      });
    });
  }
}
