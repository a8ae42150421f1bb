/** Lies of a server about leases, told as those of lies.ts. */
import type { Lie } from "./simulation.ts";

/** A lease must have so much left to be ended early: longer than an answer takes to be seen. */
const EARLY_MS = 30;

/** By then somebody has seen that it is gone. */
const LATE_MS = 10;

export const LEASE_LIES: Readonly<Record<string, () => Lie>> = {
  "lease ended early": () => {
    const lie: Lie = {
      isTold: false,
      tell(server, _request, { now }) {
        if (lie.isTold) return undefined;
        for (const [id, deadline] of server.deadlines) {
          const isEarly = deadline - now > EARLY_MS && server.hasLease(id);
          if (!isEarly || server.keysOf(id).length === 0) continue;
          server.run({ kind: "revoke", id });
          lie.isTold = true;
          break;
        }
        return undefined;
      },
    };
    return lie;
  },

  "lease renewed that is gone": () => {
    const lie: Lie = {
      isTold: false,
      tell(server, request, { isLost, isRefused, now }) {
        if (lie.isTold || isLost || isRefused || request.kind !== "renew") return undefined;
        const deadline = server.deadlines.get(request.id) ?? now;
        if (server.hasLease(request.id) || now < deadline + LATE_MS) return undefined;
        lie.isTold = true;
        return { kind: "renew", ttlSeconds: 1 };
      },
    };
    return lie;
  },

  "lease granted for less than asked": () => {
    const lie: Lie = {
      isTold: false,
      tell(server, request, { isLost, isRefused }) {
        if (lie.isTold || isLost || isRefused || request.kind !== "grant") return undefined;
        if (server.hasLease(request.id)) return undefined;
        lie.isTold = true;
        const ttlSeconds = request.ttlSeconds / 2;
        return server.run({ ...request, ttlSeconds });
      },
    };
    return lie;
  },
};
