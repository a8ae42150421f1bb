/** [tls] and [peer_tls]: what they mean in Aether's words, and what contradicts itself. */
import { describe, expect, test } from "bun:test";
import { etcdNames } from "../../../src/server/config/sources.ts";
import { complaint, load } from "../config-kit.ts";

const PAIR = 'cert_file = "c.pem"\nkey_file = "k.pem"\n';
const TLS = `[tls]\n${PAIR}`;
const THREE = `
node_id = 1
addr = "10.0.0.1:2379"
cluster.peer_addr = "10.0.0.1:2380"
[[cluster.peers]]
node_id = 1
addr = "10.0.0.1:2380"
[[cluster.peers]]
node_id = 2
addr = "10.0.0.2:2380"
[peer_tls]
${PAIR}`;

/** Clients and members at one address. */
const SHARED = THREE.replace("peer_addr", "token")
  .replaceAll(":2380", ":2379")
  .replace("peer_tls", "tls");

describe("in aether.toml", () => {
  test("a certificate makes clients' addresses secure", () => {
    const config = load(TLS);
    expect(config.listenClient).toEqual(["https://127.0.0.1:2379"]);
    expect(config.clientUrls).toEqual(["https://127.0.0.1:2379"]);
    expect(config.listenMetrics).toEqual(["127.0.0.1:9090"]);
    expect(config.clientTls).toMatchObject({ certFile: "c.pem", keyFile: "k.pem" });
    expect(config.peerTls).toBeUndefined();
    expect(config.notices).toEqual([]);
  });

  test("everything that etcd's flags say can be said", () => {
    const { clientTls } = load(
      `${TLS}ca_file = "ca.pem"\ncrl_file = "crl.der"\nclient_cert_auth = true\n` +
        'allowed_common_names = ["a", "b"]\nmin_version = "TLS1.3"\n',
    );
    expect(clientTls).toMatchObject({
      ...{ caFile: "ca.pem", crlFile: "crl.der", clientCertRequired: true },
      allowedCommonNames: ["a", "b"],
      versions: { min: "TLS1.3", max: "TLS1.3" },
    });
  });

  test("metrics are plaintext unless they are asked for in TLS", () => {
    expect(load(`${TLS}[metrics]\ntls = true\n`).listenMetrics).toEqual(["https://127.0.0.1:9090"]);
    const why = "there is no certificate in [tls]";
    expect(complaint("[metrics]\ntls = true")).toBe(`aether.toml:2: metrics.tls: ${why}`);
  });

  test("clients of the members' own authority can be members, and it is said so", () => {
    const both = (clients: string, members: string): string =>
      `${THREE}ca_file = "ca.pem"\n${members}[tls]\n${PAIR}ca_file = "${clients}"\n`;
    const [notice, ...more] = load(both("ca.pem", "")).notices;
    expect(more).toEqual([]);
    expect(notice).toMatchObject({ level: "warn" });
    expect(notice?.message).toContain("can be a member");
    expect(load(both("other.pem", "")).notices).toEqual([]);
    expect(load(both("ca.pem", 'allowed_common_names = ["m"]\n')).notices).toEqual([]);
    const secret = 'cluster.secret = "long enough to be none"\ncluster.peer_addr';
    const proved = both("ca.pem", "").replace("cluster.peer_addr", secret);
    expect(load(proved).notices).toEqual([]);
  });

  test("members with certificates of one authority need no secret", () => {
    const { founders, listenPeer, peerUrls, peerTls } = load(`${THREE}ca_file = "ca.pem"\n`);
    expect(founders.map((founder) => founder.peerUrls)).toEqual([
      ["https://10.0.0.1:2380"],
      ["https://10.0.0.2:2380"],
    ]);
    expect([listenPeer, peerUrls]).toEqual([["https://10.0.0.1:2380"], ["https://10.0.0.1:2380"]]);
    expect(peerTls).toMatchObject({ clientCertRequired: true, addressesChecked: true });
    expect(complaint(THREE)).toContain("need cluster.secret");
  });

  test("certificates of one's own making bear every name that the node has", () => {
    const { clientTls, peerTls } = load(
      'addr = "0.0.0.0:1"\ncluster.peer_addr = "10.0.0.1:2"\ndata_dir = "d"\n' +
        "[tls]\nauto = true\nself_signed_years = 3\n[peer_tls]\nauto = true\n",
    );
    expect(clientTls).toMatchObject({
      ...{ certFile: "d/fixtures/client/cert.pem", keyFile: "d/fixtures/client/key.pem" },
      selfSigned: { hosts: ["0.0.0.0", "10.0.0.1"], validYears: 3 },
      ...{ clientCertRequired: false, calledUnverified: false },
    });
    expect(peerTls).toMatchObject({
      selfSigned: { directory: "d/fixtures/peer", hosts: ["10.0.0.1"] },
      calledUnverified: true,
    });
  });
});

describe("by etcd's flags", () => {
  const urls = { "listen-client-urls": "https://h:1", "advertise-client-urls": "https://a:1" };

  test("certificates are made for what is listened on and for what is told", () => {
    const { clientTls, dataDir } = load("", { ...urls, "auto-tls": "true", name: "n" });
    expect(dataDir).toBe("n.etcd");
    expect(clientTls?.selfSigned).toEqual({
      directory: "n.etcd/fixtures/client",
      hosts: ["h", "a"],
      validYears: 1,
    });
  });

  test("given certificates come first, and plaintext needs none: both are told", () => {
    const files = { "cert-file": "c", "key-file": "k" };
    const both = load("", { ...urls, ...files, "auto-tls": "true" });
    expect(both.clientTls?.selfSigned).toBeUndefined();
    expect(both.notices.map(({ message }) => message)).toEqual([
      "no certificate is made, since one is given",
    ]);
    const unused = load("", { name: "n", "auto-tls": "true", "client-crl-file": "x" });
    expect(unused.notices.map(({ fields }) => fields)).toEqual([
      { flags: "--client-crl-file, --auto-tls" },
    ]);
  });

  test("who lets public authorities sign clients' certificates is warned", () => {
    const files = { "cert-file": "c", "key-file": "k", "client-cert-auth": "true" };
    expect(load("", { ...urls, ...files }).notices.map(({ fields }) => fields)).toEqual([
      { where: "--client-cert-auth", advice: "name yours by --trusted-ca-file" },
    ]);
    expect(load("", { ...urls, ...files, "trusted-ca-file": "a" }).notices).toEqual([]);
  });

  test("what stands in the YAML file alone is no flag", () => {
    expect(etcdNames()).not.toContain("client-cert-allowed-cn");
    expect(etcdNames()).toContain("client-cert-allowed-hostname");
  });
});

describe("is refused", () => {
  const table: readonly (readonly [
    toml: string,
    flags: Record<string, string>,
    message: string,
  ])[] = [
    ['[tls]\ncert_file = "c"', {}, "aether.toml:2: tls.cert_file: a certificate and its key go to"],
    [`[peer_tls]\n${PAIR}`, {}, "aether.toml:2: peer_tls.cert_file: members need an address of th"],
    [
      SHARED,
      {},
      "aether.toml:12: tls.cert_file: members need an address of their own: set cluster.peer_addr",
    ],
    [`${TLS}crl_file = "x"`, {}, "aether.toml:4: tls.crl_file: nobody is asked for a certificate "],
    [
      `${TLS}ca_file = "a"\nallowed_common_names = ["a"]\nallowed_hostnames = ["b"]`,
      {},
      "aether.toml:5: tls.allowed_common_names and aether.toml:6: tls.allowed_hostnames: only one",
    ],
    [
      '[tls]\nallowed_hostnames = ["a,b"]',
      {},
      "aether.toml:2: tls.allowed_hostnames: expected texts without commas in the array, got",
    ],
    [
      'cluster.peer_addr = "127.0.0.1:2"\n[peer_tls]\nauto = true\nca_file = "a"',
      {},
      "aether.toml:4: peer_tls.ca_file: no authority signs the certificates that aether.toml:3: pe",
    ],
    [
      `cluster.peer_addr = "127.0.0.1:2"\n[peer_tls]\n${PAIR}client_key_file = "x"`,
      {},
      "aether.toml:5: peer_tls.client_key_file: a certificate and its key go together",
    ],
    [
      `cluster.peer_addr = "127.0.0.1:2"\n[peer_tls]\n${PAIR}client_cert_auth = true`,
      {},
      "aether.toml:5: peer_tls.client_cert_auth: every public authority could sign the certificat",
    ],
    ['[tls]\nmin_version = "TLS1.1"', {}, "aether.toml:2: tls.min_version: expected one of "],
    [
      '[tls]\nmin_version = "TLS1.3"\nmax_version = "TLS1.2"',
      {},
      "aether.toml:3: tls.max_version: TLS1.2 is below aether.toml:2: tls.min_version TLS1.3",
    ],
    ["", { "cipher-suites": "x" }, "--cipher-suites: unknown cipher suite x"],
    ["", { "cipher-suites": "TLS_AES_128_GCM_SHA256", "tls-min-version": "TLS1.3" }, "--cipher-su"],
    ["", { "self-signed-cert-validity": "0" }, "--self-signed-cert-validity: expected a whole nu"],
    [
      "[metrics]\ntls = true",
      { "listen-metrics-urls": "http://127.0.0.1:1" },
      "--listen-metrics-urls and aether.toml:2: metrics.tls: the same thing twice",
    ],
  ];
  test.each(table)("%s %j", (toml, flags, message) => {
    expect(complaint(toml, flags)).toStartWith(message);
  });
});
