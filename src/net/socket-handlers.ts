/** What listeners and dialers do alike with the events of a Bun socket. */
import type { SocketHandler } from "bun";
import { AssertionError } from "../base/assert.ts";
import type { Log } from "../base/ports.ts";
import type { Link } from "./link.ts";

/** What hangs on a Bun socket: its link; nothing before it was accepted, or once TLS is inside. */
export type Slot = Link | undefined;

/** drain, end and error; who spreads them adds open, data, close. */
export function linkHandlers(log: Log | undefined): SocketHandler<Slot> {
  return {
    drain: (socket) => socket.data?.drain(),
    end: (socket) => socket.data?.peerEnded(),
    error: (socket, error) => {
      // Bun brings here what a handler threw. A broken assertion is our own mistake and stops the
      // process as it would anywhere else; all other faults are those of this one socket.
      if (error instanceof AssertionError) {
        queueMicrotask(() => {
          throw error;
        });
        return;
      }
      log?.warn("socket failed", { remote: socket.remoteAddress, error: error.message });
      if (socket.data === undefined) socket.terminate();
      else socket.data.terminate();
    },
  };
}
