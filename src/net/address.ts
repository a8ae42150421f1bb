/**
 * Where to listen and whom to call. The forms are those of etcd's flags and clients:
 *   http://host:port  https://host:port  unix://path  unixs://path  unix:path  host:port  :port
 * Port 0 asks the system for a free one. IPv6 hosts stand in brackets.
 */
import { AetherError } from "../base/errors.ts";

export type Address =
  | { readonly kind: "tcp"; readonly secure: boolean; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly secure: boolean; readonly path: string };

/** The address `text` names; `secure` tells whether a bare `host:port` means TLS. Throws
 * AetherError invalid_argument when it is not one. */
export function parseAddress(text: string, secure = false): Address {
  const unix = /^unix(s?):(?:\/\/)?(.+)$/.exec(text);
  if (unix !== null) return { kind: "unix", secure: unix[1] === "s", path: unix[2] as string };
  const match = /^(?:(https?):\/\/)?(\[[0-9a-fA-F:.]+\]|[^[\]:/?#@]*):(\d{1,5})\/?$/.exec(text);
  if (match === null) throw new AetherError("invalid_argument", `not an address: ${text}`);
  const [, scheme, hostText = "", portText] = match;
  const port = Number(portText);
  if (port > 65535) throw new AetherError("invalid_argument", `port above 65535: ${text}`);
  const host = hostText.startsWith("[") ? hostText.slice(1, -1) : hostText;
  return {
    kind: "tcp",
    secure: scheme === undefined ? secure : scheme === "https",
    host: host === "" ? "0.0.0.0" : host,
    port,
  };
}

/** The address as a person writes it: `127.0.0.1:2379`, `[::1]:2379` or `unix:/run/a.sock`. */
export function addressText(address: Address): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  return hostPort(address.host, address.port);
}

/** `host:port`, with brackets around an IPv6 host. */
export function hostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
