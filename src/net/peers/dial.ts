/** Connections to peers over the sockets of this process, and time by its timers. */
import type { ProtocolConnection } from "../../wire/connection.ts";
import { parseAddress } from "../address.ts";
import { dial } from "../dialer.ts";
import type { Traffic } from "../link.ts";
import type { Network } from "../network.ts";
import type { ClientTls, TlsSource } from "../tls.ts";
import type { PeerDialer, PeerSocket, PeerTimers } from "./ports.ts";

/** Dials sockets; `tls` for https URLs (with cert and key: mutual), asked for each; `traffic`
 * adds up bytes. */
export function socketDialer(
  network: Network,
  tls?: TlsSource<ClientTls>,
  traffic?: Traffic,
): PeerDialer {
  return {
    async dial(
      url: string,
      timeoutMs: number,
      connect: (nowMs: number) => ProtocolConnection,
      onClosed: () => void,
    ): Promise<PeerSocket> {
      return dial(network, {
        address: parseAddress(url),
        timeoutMs,
        connect,
        onClosed,
        ...(tls === undefined ? {} : { tls: await tls() }),
        ...(traffic === undefined ? {} : { traffic }),
      });
    },
  };
}

/** The timers of the process, on the network's clock. */
export function processTimers(network: Network): PeerTimers {
  return {
    nowMs: () => network.nowMs(),
    after(delayMs, run) {
      const timer = setTimeout(run, delayMs);
      return () => clearTimeout(timer);
    },
  };
}
