/**
 * Does a certificate name the address that its bearer calls from? etcd asks so of members
 * (transport/listener_tls.go): an address in it has to be the caller's, else one of its DNS names
 * has to lead there or be what the caller's address is called; one that names nothing is good for
 * every address.
 */

import type { PeerCertificate } from "node:tls";
import { dns, net } from "../base/builtin.ts";

/** Resolves with why it does not, or undefined. Asks DNS only where addresses do not decide. */
export async function unnamedCaller(
  certificate: PeerCertificate,
  address: string,
): Promise<string | undefined> {
  const { addresses, names } = namesOf(certificate);
  if (addresses.length === 0 && names.length === 0) return undefined;
  if (addresses.some((each) => sameAddress(each, address))) return undefined;
  if (names.length > 0) {
    if (await callsItself(address, names)) return undefined;
    for (const name of names) if (await leadsTo(name, address)) return undefined;
  }
  return `its certificate is for ${[...addresses, ...names].join(", ")}, not for ${address}`;
}

function namesOf({ subjectaltname = "" }: PeerCertificate): {
  addresses: string[];
  names: string[];
} {
  const addresses: string[] = [];
  const names: string[] = [];
  for (const part of subjectaltname.split(", ")) {
    const [, kind, value = ""] = /^(DNS|IP Address):(.*)$/.exec(part) ?? [];
    if (kind === "DNS") names.push(value);
    else if (kind !== undefined) addresses.push(value);
  }
  return { addresses, names };
}

/** Two spellings of an IPv6 address are one. */
function sameAddress(a: string, b: string): boolean {
  return a === b || canonical(a) === canonical(b);
}

function canonical(address: string): string {
  return net().isIP(address) === 6 ? new URL(`http://[${address}]`).hostname : address;
}

async function callsItself(address: string, names: readonly string[]): Promise<boolean> {
  const own = await dns()
    .reverse(address)
    .catch(() => []);
  return own.some((found) =>
    names.some((name) => {
      const plain = found.replace(/\.$/, "");
      return name.startsWith("*.") ? plain.endsWith(name.slice(1)) : plain === name;
    }),
  );
}

async function leadsTo(name: string, address: string): Promise<boolean> {
  if (name.startsWith("*.")) return false;
  const found = await dns()
    .lookup(name, { all: true })
    .catch(() => []);
  return found.some((each) => sameAddress(each.address, address));
}
