/** What a server's field section may hold (RFC 9113 §8.2, §8.3). */
import type { Field } from "./hpack.ts";

/** §8.2.2 */
const OF_CONNECTION: ReadonlySet<string> = new Set([
  ...["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "te"],
]);

/** Faults of one section; `trailers`: the stream's final head has come before. */
export function auditFields(
  fields: readonly Field[],
  trailers: boolean,
  endStream: boolean,
): string[] {
  const faults: string[] = [];
  const pseudo = fields.filter(([name]) => name.startsWith(":"));
  if (trailers) {
    if (pseudo.length > 0) faults.push("§8.1-2 §8.3-4 pseudo fields in trailers");
    if (!endStream) faults.push("§8.1-4 a second head that does not end the stream");
  } else faults.push(...auditHead(fields, pseudo, endStream));
  for (const [name, value] of fields) {
    if (OF_CONNECTION.has(name)) faults.push(`§8.2.2-1 the connection's field ${name}`);
    if (/[A-Z]/.test(name)) faults.push(`§8.2-1 ${name} in upper case`);
    if (/[^\x21-\x7e]/.test(name) || /.:/.test(name)) faults.push(`§8.2.1-1 the name ${name}`);
    if (/[\0\r\n]|^[ \t]|[ \t]$/.test(value)) faults.push(`§8.2.1-3 the value of ${name}`);
  }
  return faults;
}

function auditHead(fields: readonly Field[], pseudo: readonly Field[], ends: boolean): string[] {
  const faults: string[] = [];
  const [name, status] = fields[0] ?? ["nothing", ""];
  if (name !== ":status") faults.push(`§8.3-6 §8.3.2-1 a head that begins with ${name}`);
  if (pseudo.length !== 1) faults.push("§8.3-1 §8.3-2 §8.3-8 other pseudo fields than one :status");
  if (!/^[1-5]\d\d$/.test(status) || status === "101") faults.push(`§8.3.2-1 status ${status}`);
  if (ends && status.startsWith("1")) faults.push("an interim answer that ends the stream");
  return faults;
}
