/**
 * Where an accepted connection comes from. Asked of its socket once, at accept: the system forgets
 * whose a connection was as soon as its caller resets it, with bytes of his still to be read, and
 * then it looks like one of a unix socket, whose callers are trusted (seen with 1.4.4 of Bun).
 */
import type { Socket } from "bun";
import { type Address, hostPort } from "./address.ts";
import type { Slot } from "./socket-handlers.ts";

export interface Origin {
  /** The caller's IP address; undefined: a unix socket. */
  readonly host: string | undefined;
  /** `host:port`, or `unix`. */
  readonly text: string;
}

const UNIX: Origin = { host: undefined, text: "unix" };

/** Of a socket that was accepted at an address of this kind; undefined: its caller has gone. */
export function originOf(socket: Socket<Slot>, kind: Address["kind"]): Origin | undefined {
  if (kind === "unix") return UNIX;
  // Each asks the system, and the reset may come in between; Bun's types have a port always.
  const { remoteAddress: host, remotePort: port } = socket as Partial<Socket<Slot>>;
  if (host === undefined || port === undefined) return undefined;
  return { host, text: hostPort(host, port) };
}
