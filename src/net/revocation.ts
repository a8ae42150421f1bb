/**
 * Lists of revoked certificates (RFC 5280 §5), PEM or DER, one or several in a file. A list has to
 * be signed by one of the authorities that are believed, and speaks of the certificates that this
 * authority issued. Like etcd (transport/listener_tls.go) we go on using a list whose next issue is
 * late, and look at each certificate that was shown; etcd checks neither signature nor issuer.
 *
 * The library reads what is said of the list and verifies its signature, but without the entries:
 * of those only the serials are wanted, and lists of 100,000 are read in the time of one request.
 */
import type { X509Certificate } from "node:crypto";
import type { PeerCertificate } from "node:tls";
import { nodeCrypto } from "../base/builtin.ts";
import { AetherError } from "../base/errors.ts";
import { type DerElement, DerError, DerTag, derElement, derElements, derSequence } from "./der.ts";
import { x509 } from "./x509.ts";

/** Of a file with lists: a million entries are 22 MB, and as many again in memory. */
export const REVOCATION_BYTES_MAX = 32 * 1024 * 1024;
/** Of a chain that is looked at; TLS stacks refuse longer ones. */
const CHAIN_LENGTH_MAX = 16;

interface RevocationList {
  readonly authority: X509Certificate;
  readonly serials: ReadonlySet<string>;
}

export class Revocations {
  readonly #lists: readonly RevocationList[];
  /** The issuers of lists whose next issue is late, and since when. */
  readonly overdue: readonly { readonly issuer: string; readonly since: Date }[];

  constructor(lists: readonly RevocationList[], overdue: Revocations["overdue"]) {
    this.#lists = lists;
    this.overdue = overdue;
  }

  /** How many certificates are revoked, by all lists. */
  get count(): number {
    return this.#lists.reduce((sum, { serials }) => sum + serials.size, 0);
  }

  /** The serial of the first revoked one in the chain that was shown, or undefined. */
  revokedIn(shown: PeerCertificate & { issuerCertificate?: PeerCertificate }): string | undefined {
    let certificate: typeof shown | undefined = shown;
    for (let i = 0; i < CHAIN_LENGTH_MAX && certificate?.raw !== undefined; i++) {
      const serial = plainHex(certificate.serialNumber);
      if (this.#isRevoked(serial, certificate.raw)) return serial;
      const issuer: typeof shown | undefined = certificate.issuerCertificate;
      certificate = issuer === certificate ? undefined : issuer; // a root names itself
    }
    return undefined;
  }

  #isRevoked(serial: string, raw: Uint8Array): boolean {
    const lists = this.#lists.filter(({ serials }) => serials.has(serial));
    if (lists.length === 0) return false;
    const certificate = new (nodeCrypto().X509Certificate)(raw);
    return lists.some(({ authority }) => certificate.checkIssued(authority));
  }
}

/**
 * Reads a file's lists; `authorities` are certificates in PEM form. Throws AetherError
 * invalid_argument, whose text says what is wrong but not in which file.
 */
export async function readRevocations(
  file: Uint8Array,
  authorities: string,
  nowMs: number,
): Promise<Revocations> {
  if (file.length > REVOCATION_BYTES_MAX) throw unusable("it is too large for a list");
  const believed = certificatesIn(authorities);
  const lists: RevocationList[] = [];
  const overdue: { issuer: string; since: Date }[] = [];
  for (const der of listsIn(file)) {
    const list = takenApart(der);
    const { issuer, nextUpdate, authority } = await verified(list, believed);
    lists.push({ authority, serials: list.serials });
    if (nextUpdate !== undefined && nextUpdate.getTime() < nowMs) {
      overdue.push({ issuer, since: nextUpdate });
    }
  }
  if (lists.length === 0) throw unusable("no list of revoked certificates (PEM or DER)");
  return new Revocations(lists, overdue);
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const PEM_LIST = /-----BEGIN X509 CRL-----([^-]*)-----END X509 CRL-----/g;

function certificatesIn(pem: string): X509Certificate[] {
  return Array.from(pem.matchAll(PEM_CERTIFICATE), ([text]) => {
    return new (nodeCrypto().X509Certificate)(text);
  });
}

/** DER begins with a SEQUENCE, PEM with anything that a person may write above its first dash. */
function listsIn(file: Uint8Array): Uint8Array[] {
  if (file[0] === DerTag.SEQUENCE) return [file];
  const text = Buffer.from(file.buffer, file.byteOffset, file.byteLength).latin1Slice();
  return Array.from(text.matchAll(PEM_LIST), ([, base64 = ""]) => Buffer.from(base64, "base64"));
}

/** A list without its entries, and what was in them. */
interface TakenApart {
  readonly skeleton: Uint8Array;
  readonly signed: Uint8Array;
  readonly serials: ReadonlySet<string>;
}

/** CertificateList and TBSCertList, RFC 5280 §5.1. */
function takenApart(der: Uint8Array): TakenApart {
  try {
    const whole = derElement(der, 0, der.length);
    if (whole.end !== der.length) throw new DerError("bytes after the list");
    const [signed, ...signature] = [...derElements(der, whole)];
    if (signed?.tag !== DerTag.SEQUENCE) throw new DerError("nothing that is signed");
    const fields = [...derElements(der, signed)];
    const bytesOf = ({ start, end }: DerElement): Uint8Array => der.subarray(start, end);
    const position = entriesAt(fields);
    const serials = new Set<string>();
    const entries = fields[position];
    if (entries !== undefined) {
      for (const entry of derElements(der, entries)) serials.add(serialOf(der, entry));
      fields.splice(position, 1);
    }
    const skeleton = derSequence([derSequence(fields.map(bytesOf)), ...signature.map(bytesOf)]);
    return { skeleton, signed: bytesOf(signed), serials };
  } catch (error) {
    if (error instanceof DerError) throw unusable(`the list is damaged: ${error.message}`, error);
    throw error;
  }
}

/** The entries are the SEQUENCE after the one or two times; -1: there are none. */
function entriesAt(fields: readonly DerElement[]): number {
  const isTime = ({ tag }: DerElement): boolean => tag === DerTag.UTC_TIME || tag === DerTag.TIME;
  const position = fields.findLastIndex(isTime) + 1;
  return position > 0 && fields[position]?.tag === DerTag.SEQUENCE ? position : -1;
}

function serialOf(der: Uint8Array, entry: DerElement): string {
  const serial = derElement(der, entry.contentStart, entry.end);
  if (entry.tag !== DerTag.SEQUENCE || serial.tag !== DerTag.INTEGER) {
    throw new DerError(`an entry without a serial at ${entry.start}`);
  }
  return plainHex(Buffer.from(der.subarray(serial.contentStart, serial.end)).toString("hex"));
}

/** One spelling of a number in hexadecimal. */
function plainHex(text: string): string {
  return text.toLowerCase().replace(/^0+(?=.)/, "");
}

/** What the library says of the list, once an authority's signature fits. */
async function verified(
  { skeleton, signed }: TakenApart,
  authorities: readonly X509Certificate[],
): Promise<{ issuer: string; nextUpdate: Date | undefined; authority: X509Certificate }> {
  const library = await x509();
  try {
    const list = new library.X509Crl(skeleton);
    // The signature is over the whole list: were this name another, none would fit.
    Object.defineProperty(list, "tbs", { value: signed });
    const { issuer, nextUpdate } = list;
    let isKnown = false;
    for (const authority of authorities) {
      const certificate = new library.X509Certificate(authority.raw);
      if (certificate.subject !== issuer) continue;
      isKnown = true;
      if (await list.verify({ publicKey: certificate.publicKey })) {
        return { issuer, nextUpdate, authority };
      }
    }
    throw unusable(
      isKnown
        ? `the list is not signed by ${issuer}, which it says issued it`
        : `the list was issued by ${issuer}, which is none of the trusted authorities`,
    );
  } catch (error) {
    if (error instanceof AetherError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw unusable(`the list is damaged: ${reason}`, error);
  }
}

function unusable(why: string, cause?: unknown): AetherError {
  return new AetherError("invalid_argument", why, { cause });
}
