/**
 * A certificate authority for tests, made by openssl in a directory of its own: certificates for
 * servers and clients, expired ones too, and the list of those it has revoked. All results are
 * paths of files; the keys are P-256, since those are made fast, and protect nothing.
 *
 *   const authority = makeAuthority(directory);
 *   const { cert, key } = authority.server({ names: ["localhost"], addresses: ["127.0.0.1"] });
 *   const revoked = authority.client({ cn: "mallory" });
 *   authority.revoke(revoked.cert);
 *   const list = authority.crl("pem");
 */
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A certificate and its key, both PEM. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
}

export interface ServerRequest {
  /** DNS names. */
  readonly names?: readonly string[];
  /** IP addresses. */
  readonly addresses?: readonly string[];
  /** The common name; left out: the first name or address. */
  readonly cn?: string;
  /** Days that it is good for; left out: 3650. */
  readonly days?: number;
  /** It was good for a day, two years ago. */
  readonly expired?: boolean;
}

export interface ClientRequest {
  readonly cn: string;
  readonly names?: readonly string[];
  readonly addresses?: readonly string[];
  readonly expired?: boolean;
  /** It is good until then, by the second. */
  readonly until?: Date;
}

export interface ListRequest {
  /** Its next issue was due two years ago. */
  readonly expired?: boolean;
}

const DAYS = 3650;
const LONG_AGO = ["20240101000000Z", "20240102000000Z"] as const;

/** What a certificate is for; a member's is both, since members call each other. */
const USES = { server: "serverAuth,clientAuth", client: "clientAuth" } as const;

/** Makes an authority below `directory`, which may hold several. */
export function makeAuthority(directory: string, name = "test authority"): Authority {
  mkdirSync(directory, { recursive: true });
  return new Authority(mkdtempSync(join(directory, "authority-")), name);
}

export class Authority {
  /** The authority's own certificate. */
  readonly ca: string;
  readonly #directory: string;
  readonly #config: string;
  #count = 0;

  /** Use makeAuthority(). */
  constructor(directory: string, name: string) {
    this.#directory = directory;
    this.ca = join(directory, "ca.pem");
    this.#config = join(directory, "openssl.cnf");
    writeFileSync(this.#config, configText(directory));
    writeFileSync(join(directory, "index.txt"), "");
    writeFileSync(join(directory, "serial"), "1000\n");
    writeFileSync(join(directory, "crlnumber"), "01\n");
    openssl(
      ...["req", "-x509", "-config", this.#config, "-extensions", "authority", "-nodes"],
      ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", `${DAYS}`],
      ...["-subj", `/CN=${name}`, "-keyout", join(directory, "ca-key.pem"), "-out", this.ca],
    );
  }

  server({ names = [], addresses = [], cn, days, expired }: ServerRequest): Issued {
    const subject = cn ?? names[0] ?? addresses[0] ?? "server";
    return this.#issue("server", subject, { names, addresses, days, expired });
  }

  client({ cn, names = [], addresses = [], expired, until }: ClientRequest): Issued {
    return this.#issue("client", cn, { names, addresses, days: DAYS, expired, until });
  }

  /** The next list has it. */
  revoke(cert: string): void {
    openssl("ca", "-config", this.#config, "-batch", "-revoke", cert);
  }

  /** A new file with the list of all that was revoked so far. */
  crl(form: "pem" | "der", { expired = false }: ListRequest = {}): string {
    const pem = this.#file("crl.pem");
    const times = ["-crl_lastupdate", LONG_AGO[0], "-crl_nextupdate", LONG_AGO[1]];
    openssl("ca", "-config", this.#config, "-gencrl", "-out", pem, ...(expired ? times : []));
    if (form === "pem") return pem;
    const der = this.#file("crl.der");
    openssl("crl", "-in", pem, "-outform", "DER", "-out", der);
    return der;
  }

  #issue(
    use: keyof typeof USES,
    cn: string,
    { names, addresses, days, expired = false, until }: Validity & Named,
  ): Issued {
    const [key, cert] = [this.#file("key.pem"), this.#file("cert.pem")];
    const [request, extensions] = [this.#file("csr.pem"), this.#file("ext.cnf")];
    const alternatives = [...names.map((x) => `DNS:${x}`), ...addresses.map((x) => `IP:${x}`)];
    const lines = ["basicConstraints=CA:FALSE", `extendedKeyUsage=${USES[use]}`];
    if (alternatives.length > 0) lines.push(`subjectAltName=${alternatives.join(",")}`);
    writeFileSync(extensions, `${lines.join("\n")}\n`);
    openssl(
      ...["req", "-new", "-config", this.#config, "-nodes", "-newkey", "ec"],
      ...["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", `/CN=${cn}`],
      ...["-keyout", key, "-out", request],
    );
    const end = expired ? LONG_AGO[1] : until && stampOf(until);
    const times = ["-startdate", LONG_AGO[0], "-enddate", end ?? ""];
    openssl(
      ...["ca", "-config", this.#config, "-batch", "-notext", "-in", request, "-out", cert],
      ...["-extfile", extensions, ...(end === undefined ? ["-days", `${days ?? DAYS}`] : times)],
    );
    return { cert, key };
  }

  #file(ending: string): string {
    return join(this.#directory, `${++this.#count}-${ending}`);
  }
}

interface Named {
  readonly names: readonly string[];
  readonly addresses: readonly string[];
}

interface Validity {
  readonly days: number | undefined;
  readonly expired: boolean | undefined;
  readonly until?: Date | undefined;
}

/** A time as openssl takes it: 20261121193000Z. */
function stampOf(time: Date): string {
  return `${time.toISOString().replace(/[-:T]/g, "").slice(0, 14)}Z`;
}

function openssl(...words: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...words], { stdin: "ignore" });
  if (exitCode !== 0) throw new Error(`openssl ${words[0]}: ${stderr.toString()}`);
}

function configText(directory: string): string {
  return `
[req]
distinguished_name = dn
[dn]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[ca]
default_ca = own
[own]
database = ${directory}/index.txt
new_certs_dir = ${directory}
serial = ${directory}/serial
crlnumber = ${directory}/crlnumber
certificate = ${directory}/ca.pem
private_key = ${directory}/ca-key.pem
default_md = sha256
default_crl_days = 3650
unique_subject = no
policy = any
[any]
commonName = supplied
`;
}
