/** Logins without end (reliability.md §4.2): puts go on, and so does who knows his password. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { Auth, AuthUserAddRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { startAether } from "../support/processes.ts";
import { attack } from "./harness.ts";

/** 16 MiB of logins that wait, and a server as it is. */
const BOUND_MB = 350;
/**
 * A core of the two looks at passwords all the time, which is what it is for, and attacker, client
 * and server share the other: the scheduler's slices come on top of what harness.ts calls noise.
 */
const P99_MS_MAX = 30;
const TEST_MS_MAX = 90_000;

const ROOT = { name: "root", password: "the right one" };

/** With the one-second windows of the harness, and some logins of others meanwhile. */
for (const names of ["one", "many"]) {
  test(
    `a thousand at once, of ${names === "one" ? "one name" : "a thousand names"}`,
    async () => {
      const directory = mkdtempSync(join(tmpdir(), "logins-"));
      const file = join(directory, "password");
      writeFileSync(file, ROOT.password, { mode: 0o600 });
      const env = { AETHER_AUTH_ENABLED: "true", AETHER_AUTH_ROOT_PASSWORD_FILE: file };
      await using server = await startAether({ env });
      const connect = (endpoint: string): EtcdClient =>
        new EtcdClient({ endpoints: [endpoint], credentials: ROOT, timeoutMs: 10_000 });
      const admin = connect(server.endpoint);
      const victim = AuthUserAddRequest.create({ name: "victim", password: "another" });
      await admin.channel.call(Auth.UserAdd, victim, {});
      admin.close();
      let logins = 0;
      let isOver = false;
      const office = (async () => {
        while (!isOver) {
          const client = connect(server.endpoint);
          if (await client.authenticate()) logins++; // refused or too late would throw
          client.close();
          await Bun.sleep(100);
        }
      })();
      const args = [names, "1000"];
      const script = "login-flood.attack.ts";
      const options = { name: `logins of ${names}`, script, args, server, seconds: 2 };
      const report = await attack({ ...options, boundMb: BOUND_MB, p99MsMax: P99_MS_MAX, connect });
      isOver = true;
      await office;
      const metrics = await (await fetch(`http://${server.metricsEndpoint}/metrics`)).text();
      expect(metrics).toMatch(/^aether_logins_waiting \d+$/m);
      if (names === "one") expect(metrics).toMatch(/^aether_logins_refused_total [1-9]/m);
      rmSync(directory, { recursive: true });
      expect(report.sent["logins"]).toBeGreaterThan(1000);
      expect(report.ended["let in"]).toBeUndefined();
      expect(
        report.ended["etcdserver: authentication failed, invalid user ID or password"],
      ).toBeGreaterThan(0);
      expect(logins).toBeGreaterThan(3);
    },
    TEST_MS_MAX,
  );
}
