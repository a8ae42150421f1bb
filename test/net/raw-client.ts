/** A bare socket for tests: what it got, whether it is closed, and a write that never gives up. */
import type { Socket } from "bun";
import type { Address } from "../../src/net/address.ts";

export interface RawClient {
  readonly socket: Socket;
  readonly received: () => string;
  readonly receivedBytes: () => number;
  readonly closed: () => boolean;
}

/** Connects to a listener; `paused` leaves everything in the kernel from the start. */
export async function rawClient(address: Address, paused = false): Promise<RawClient> {
  let text = "";
  let count = 0;
  let closed = false;
  const handlers = {
    open: (socket: Socket) => {
      if (paused) socket.pause();
    },
    data: (_socket: Socket, bytes: Buffer) => {
      count += bytes.length;
      if (text.length < 1024 * 1024) text += bytes.latin1Slice();
    },
    close: () => {
      closed = true;
    },
    error: () => undefined,
  };
  const socket =
    address.kind === "unix"
      ? await Bun.connect({ unix: address.path, socket: handlers })
      : await Bun.connect({ hostname: address.host, port: address.port, socket: handlers });
  return { socket, received: () => text, receivedBytes: () => count, closed: () => closed };
}
