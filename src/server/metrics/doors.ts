/** Who did not come in at the addresses: an operator sees a flood, or certificates that ended. */
import type { Metrics } from "../../observe/metrics.ts";
import type { Doors } from "../doors.ts";

const REASONS = {
  failed: "failedCount",
  refused: "refusedCount",
  surplus: "surplusCount",
} as const;

export function registerDoors(metrics: Metrics, doors: Doors): void {
  metrics.readMany(
    "counter",
    "aether_tls_handshakes_refused_total",
    "TLS handshakes that failed, showed a certificate that does not do, or were too many.",
    () =>
      Object.entries(doors.listeners).flatMap(([addresses, listeners]) => {
        const counts = listeners.flatMap(({ handshakes }) => handshakes ?? []);
        if (counts.length === 0) return [];
        return Object.entries(REASONS).map(([reason, key]) => {
          return [{ addresses, reason }, counts.reduce((sum, each) => sum + each[key], 0)] as const;
        });
      }),
  );
  metrics.readMany(
    "counter",
    "aether_connections_refused_total",
    "Connections beyond the limits of an address, or of whom they come from.",
    () =>
      Object.entries(doors.listeners).map(([addresses, listeners]) => {
        const count = listeners.reduce((sum, { traffic }) => sum + traffic.refusedCount, 0);
        return [{ addresses }, count] as const;
      }),
  );
}
