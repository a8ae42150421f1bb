/**
 * Where somebody comes from, as far as a limit may count it: what an attacker cannot easily have
 * many of. That is an IPv4 address, and of IPv6 the network: a /64 is the least that anybody is
 * given (RFC 6177), and has as many addresses as one likes. IPv4 addresses written as IPv6 ones
 * (::ffff:0:0/96, what a socket for both sees) are IPv4 addresses.
 */

/** Parts of 16 bits in an IPv6 address, and those of its network. */
const PARTS = 8;
const NETWORK_PARTS = 4;

/** Before the two parts that hold the IPv4 address. */
const MAPPED = "0:0:0:0:0:ffff:";

/** Of an IP address without port or brackets; what is none comes back as it is. */
export function sourceOf(address: string): string {
  if (!address.includes(":")) return address;
  const parts = partsOf(address.replace(/%.*$/, "")); // without the zone: fe80::1%eth0
  if (parts === undefined) return address;
  const text = parts.map((part) => part.toString(16)).join(":");
  if (!text.startsWith(MAPPED)) return text.split(":").slice(0, NETWORK_PARTS).join(":");
  const bytes = parts.slice(-2).flatMap((part) => [part >> 8, part & 0xff]);
  return bytes.join(".");
}

/** Of `host:port`, as connections are named; brackets stand around an IPv6 host. */
export function sourceOfPeer(peer: string): string {
  const host = peer.replace(/:\d+$/, "");
  return sourceOf(host.startsWith("[") ? host.slice(1, -1) : host);
}

/** The eight numbers of an IPv6 address; undefined: it is none. */
function partsOf(address: string): number[] | undefined {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const hex = dotted === null ? address : withoutDots(dotted);
  const [head = "", tail, ...more] = hex.split("::");
  const before = numbersOf(head);
  const after = numbersOf(tail ?? "");
  const zeros = PARTS - before.length - after.length;
  if (more.length > 0 || (tail === undefined ? zeros !== 0 : zeros < 0)) return undefined;
  const parts = [...before, ...Array.from({ length: zeros }, () => 0), ...after];
  return parts.every((part) => part >= 0 && part <= 0xffff) ? parts : undefined;
}

function withoutDots([, head = "", a, b, c, d]: RegExpExecArray): string {
  const [high, low] = [Number(a) * 256 + Number(b), Number(c) * 256 + Number(d)];
  return `${head}${high.toString(16)}:${low.toString(16)}`;
}

function numbersOf(text: string): number[] {
  if (text === "") return [];
  return text.split(":").map((part) => (/^[0-9a-f]{1,4}$/i.test(part) ? parseInt(part, 16) : -1));
}
