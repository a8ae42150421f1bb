/**
 * Members who trust each other by certificates: one whose certificate is another authority's, is
 * revoked or bears a wrong name is no member for the others, who go on without it, and is one again
 * as soon as its files are right. No client's certificate makes a member of anybody.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { type Authority, type Issued, makeAuthority } from "../support/authority.ts";
import { AETHER, freePort, type Kind, ServerProcess, until } from "../support/processes.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-members-"));
const LOCAL = { names: ["localhost"], addresses: ["127.0.0.1"] };
const NUMBERS = [1, 2, 3] as const;
/** Elections and starts on a machine that is busy with other work. */
const TEST_MS_MAX = 60_000;

interface Place {
  readonly client: number;
  readonly peer: number;
  /** Where its files are. */
  readonly home: string;
}

let authority: Authority;
const places: Place[] = [];
const members: ServerProcess[] = [];

const place = (number: number): Place => places[number - 1] as Place;
const member = (number: number): ServerProcess => members[number - 1] as ServerProcess;

/** Gives a member the certificate that it shows, both ways. */
function give(number: number, { cert, key }: Issued): void {
  const { home } = place(number);
  copyFileSync(cert, join(home, "cert.pem"));
  copyFileSync(key, join(home, "key.pem"));
}

function kindOf(number: number): Kind {
  const { client, peer, home } = place(number);
  const file = (name: string): string => join(home, name);
  const founders = NUMBERS.map((each) => `m${each}=https://127.0.0.1:${place(each).peer}`);
  const own = `https://127.0.0.1:${peer}`;
  return {
    name: `m${number}`,
    executable: AETHER,
    ready: /ready to serve client requests/,
    command: async (_port, dataDir) => [
      ...[AETHER, "--name", `m${number}`, "--data-dir", dataDir],
      ...["--listen-client-urls", `http://127.0.0.1:${client}`],
      ...["--advertise-client-urls", `http://127.0.0.1:${client}`],
      ...["--listen-peer-urls", own, "--initial-advertise-peer-urls", own],
      ...["--initial-cluster", founders.join(","), "--listen-metrics-urls="],
      ...["--heartbeat-interval", "100", "--election-timeout", "1000"],
      ...["--peer-cert-file", file("cert.pem"), "--peer-key-file", file("key.pem")],
      ...["--peer-trusted-ca-file", file("ca.pem"), "--peer-client-cert-auth"],
      ...["--peer-crl-file", file("crl.pem"), "--peer-cert-allowed-cn", "member"],
    ],
  };
}

beforeAll(async () => {
  authority = makeAuthority(directory);
  for (const number of NUMBERS) {
    const home = join(directory, `${number}`);
    mkdirSync(home);
    places.push({ client: await freePort(), peer: await freePort(), home });
    copyFileSync(authority.ca, join(home, "ca.pem"));
    copyFileSync(authority.crl("pem"), join(home, "crl.pem"));
    give(number, authority.server({ ...LOCAL, cn: "member" }));
  }
  give(3, makeAuthority(directory, "foreign").server({ ...LOCAL, cn: "member" }));
  for (const number of NUMBERS) {
    const { client } = place(number);
    const dataDir = join(directory, `${number}`, "data");
    members.push(ServerProcess.idle(kindOf(number), { port: client, dataDir }));
  }
  await Promise.all(members.map((each) => each.launch()));
  await Promise.all([member(1).ready(), member(2).ready()]);
}, TEST_MS_MAX);

afterAll(async () => {
  await Promise.all(members.map((each) => each[Symbol.asyncDispose]()));
  rmSync(directory, { recursive: true, force: true });
});

/** Writes at the first member what the one of this number shall read. */
async function reaches(number: number, text: string): Promise<boolean> {
  const clients = [1, number].map((each) => {
    return new EtcdClient({ endpoints: [`127.0.0.1:${place(each).client}`], timeoutMs: 5_000 });
  });
  const [writer, reader] = clients as [EtcdClient, EtcdClient];
  try {
    await writer.put("key", Buffer.from(text));
    const found = await reader.get("key");
    return Buffer.from(found?.value ?? []).toString() === text;
  } finally {
    for (const client of clients) client.close();
  }
}

const said = (number: number, text: string): boolean => member(number).log.includes(text);

test(
  "a foreign authority's member stays outside, and the others serve",
  async () => {
    expect(await reaches(2, "without the third")).toBe(true);
    await until("somebody refused it", () => {
      return [1, 2].some((each) => said(each, 'reason="not verified" detail="the certificate of'));
    });
    expect(member(3).log).not.toMatch(/ready to serve client requests/);
  },
  TEST_MS_MAX,
);

test(
  "it comes in when its files are right, without a start of anybody",
  async () => {
    give(3, authority.server({ ...LOCAL, cn: "member" }));
    await member(3).ready();
    expect(await reaches(3, "with the third")).toBe(true);
  },
  TEST_MS_MAX,
);

test(
  "one with a wrong name, and one that is revoked, stay outside when they come again",
  async () => {
    const wrong = authority.server({ ...LOCAL, cn: "client" });
    give(3, wrong);
    await member(3).launch();
    await until("somebody refused its name", () => {
      return [1, 2].some((each) => said(each, "has none of the allowed names: member"));
    });
    const revoked = authority.server({ ...LOCAL, cn: "member" });
    authority.revoke(revoked.cert);
    const list = authority.crl("der");
    for (const number of [1, 2]) copyFileSync(list, join(place(number).home, "crl.pem"));
    give(3, revoked);
    await member(3).launch();
    await until("somebody refused it", () => {
      return [1, 2].some((each) => said(each, 'reason=revoked detail="the certificate of'));
    });
    expect(member(3).lastLog).not.toMatch(/ready to serve client requests/);
    expect(await reaches(2, "without the third again")).toBe(true);
    give(3, authority.server({ ...LOCAL, cn: "member" }));
    await member(3).ready();
    expect(await reaches(3, "with the third again")).toBe(true);
  },
  TEST_MS_MAX,
);
