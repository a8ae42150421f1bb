/** `lease …`: leases, and the keys that end with them. */
import type { EtcdClient } from "../../../client/etcd-client.ts";
import { GrpcError } from "../../../client/grpc-error.ts";
import {
  Lease,
  LeaseKeepAliveRequest,
  type LeaseKeepAliveResponse,
} from "../../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError, stopped } from "../../exit.ts";
import { leaseHex, parseInt64 } from "../../integers.ts";
import type { Command } from "../command.ts";
import { MESSAGE_FORMATS } from "../command-info.ts";
import { type Invocation, orBadConnection, orFail } from "../invocation.ts";
import {
  grantAnswer,
  keepAliveAnswer,
  leasesAnswer,
  revokeAnswer,
  timeToLiveAnswer,
} from "../output/leases.ts";
import { numberArgument } from "../words.ts";

const LEASE_ID = {
  id: { type: "positional", required: true, description: "The lease's id, in hexadecimal" },
} as const;

export const leaseGrant: Command = {
  name: "lease grant",
  summary: "Creates a lease",
  args: {
    ttl: { type: "positional", required: true, description: "Seconds it lives unless renewed" },
  },
  formats: MESSAGE_FORMATS,
  examples: ["lease grant 60"],
  async run(call) {
    const text = onlyArgument(call, "lease grant command needs TTL argument");
    const ttl = numberArgument("bad TTL", "", () => Number(parseInt64(text, 10, "counter")));
    const granted = call.call(Lease.LeaseGrant, { TTL: ttl });
    const response = await orFail(granted, EXIT.FAILED, (why) => `failed to grant lease (${why})`);
    call.print(grantAnswer(response, call.style));
  },
};

export const leaseRevoke: Command = {
  name: "lease revoke",
  summary: "Ends a lease and deletes its keys",
  args: LEASE_ID,
  formats: MESSAGE_FORMATS,
  examples: ["lease revoke 694d81417acd4754"],
  async run(call) {
    const id = leaseArgument(call, "lease revoke command needs 1 argument");
    const revoked = call.call(Lease.LeaseRevoke, { ID: id });
    const response = await orFail(revoked, EXIT.FAILED, (why) => `failed to revoke lease (${why})`);
    call.print(revokeAnswer(id, response, call.style));
  },
};

export const leaseTimeToLive: Command = {
  name: "lease timetolive",
  summary: "Shows how long a lease has to live",
  args: { ...LEASE_ID, keys: { type: "boolean", description: "Show its keys too" } },
  formats: MESSAGE_FORMATS,
  examples: ["lease timetolive 694d81417acd4754 --keys"],
  async run(call) {
    const id = leaseArgument(call, "lease timetolive command needs lease ID as argument");
    const keys = call.args.on("keys");
    const response = await orBadConnection(call.call(Lease.LeaseTimeToLive, { ID: id, keys }));
    call.print(timeToLiveAnswer(response, keys, call.style));
  },
};

export const leaseList: Command = {
  name: "lease list",
  summary: "Lists the leases there are",
  args: {},
  formats: MESSAGE_FORMATS,
  examples: ["lease list"],
  async run(call) {
    const response = await orBadConnection(call.call(Lease.LeaseLeases, {}));
    call.print(leasesAnswer(response, call.style));
  },
};

export const leaseKeepAlive: Command = {
  name: "lease keep-alive",
  summary: "Renews a lease for as long as it runs",
  args: { ...LEASE_ID, once: { type: "boolean", description: "Renew it once" } },
  formats: MESSAGE_FORMATS,
  examples: ["lease keep-alive 694d81417acd4754", "lease keep-alive --once 694d81417acd4754"],
  async run(call) {
    const id = leaseArgument(call, "lease keep-alive command needs lease ID as argument");
    const client = await call.client();
    if (!call.args.on("once")) {
      await keepRenewing(call, client, id);
      return;
    }
    const answer = await orBadConnection(renew(call, client, id));
    if (answer.TTL > 0) call.print(keepAliveAnswer(answer, call.style));
    else throw new ExitError(EXIT.BAD_CONNECTION, "etcdserver: requested lease not found");
  },
};

/** Three chances to renew before it ends: what etcd's clients do. */
const RENEWALS_PER_TTL = 3;
/** Between two tries while no server can be reached. */
const RETRY_MS = 500;

/**
 * Renews until it is interrupted, or the lease has ended, or must have, since nobody could be
 * asked for its TTL.
 */
async function keepRenewing(call: Invocation, client: EtcdClient, id: bigint): Promise<void> {
  let ttlMs = call.globals.commandTimeoutMs;
  let endsAtMs = performance.now() + ttlMs;
  const stop = call.io.interrupted();
  while (performance.now() < endsAtMs) {
    const startedMs = performance.now();
    try {
      const answer = await renew(call, client, id);
      if (answer.TTL <= 0) break;
      ttlMs = answer.TTL * 1000;
      endsAtMs = startedMs + ttlMs;
      call.print(keepAliveAnswer(answer, call.style));
      await pause(ttlMs / RENEWALS_PER_TTL, stop);
    } catch (error) {
      if (!(error instanceof GrpcError)) throw error;
      if (error.codeName !== "UNAVAILABLE" && error.codeName !== "DEADLINE_EXCEEDED") {
        throw new ExitError(EXIT.BAD_CONNECTION, error.message, { cause: error });
      }
      await pause(RETRY_MS, stop);
    }
    if (stop.aborted) throw stopped(stop);
  }
  if (call.globals.format === "simple") call.say(`lease ${leaseHex(id)} expired or revoked.`);
}

/** Waits, or less when it is interrupted. */
async function pause(ms: number, stop: AbortSignal): Promise<void> {
  const interrupted = Promise.withResolvers<void>();
  stop.addEventListener("abort", () => interrupted.resolve(), { once: true });
  if (!stop.aborted) await Promise.race([Bun.sleep(ms), interrupted.promise]);
}

/** One renewal; the TTL of the answer is 0 when there is no such lease. */
async function renew(
  call: Invocation,
  client: EtcdClient,
  id: bigint,
): Promise<LeaseKeepAliveResponse> {
  const timeoutMs = call.globals.commandTimeoutMs;
  const stream = client.channel.open(Lease.LeaseKeepAlive, { timeoutMs });
  stream.send(LeaseKeepAliveRequest.create({ ID: id }));
  for await (const answer of stream) return answer;
  throw new ExitError(EXIT.BAD_CONNECTION, "the server ended the renewal without an answer");
}

function leaseArgument(call: Invocation, needs: string): bigint {
  const text = onlyArgument(call, needs);
  return numberArgument("bad lease ID arg", ", expecting ID in Hex", () => parseInt64(text, 16));
}

function onlyArgument(call: Invocation, needs: string): string {
  const [text, more] = call.args.positionals;
  if (text === undefined || more !== undefined) throw new ExitError(EXIT.BAD_ARGUMENTS, needs);
  return text;
}
