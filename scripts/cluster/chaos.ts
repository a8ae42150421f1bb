/** Faults under load for as long as one likes, and a verdict on every answer that clients got. */
import { runChaos } from "../../test/cluster-e2e/chaos.ts";
import type { ClusterOptions } from "../../test/support/cluster.ts";
import { whyNot } from "../../test/support/netns.ts";

export interface WearOptions extends ClusterOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly only: string;
}

/** Short, so that much happens. */
const ELECTION_MS = 500;
const HEARTBEAT_MS = 50;

/** Prints each fault as it is over; the exit status. */
export async function wearOut({ seconds, ...options }: WearOptions): Promise<number> {
  const missing = options.network === "namespaces" ? whyNot() : undefined;
  if (missing !== undefined) throw new Error(missing);
  const { complaints, faults, ...figures } = await runChaos({
    ...options,
    forMs: seconds * 1000,
    heartbeatMs: HEARTBEAT_MS,
    electionMs: ELECTION_MS,
    onFault: (line) => console.log(line),
  });
  const { size, network, seed } = options;
  console.log(JSON.stringify({ size, network, seed, faults: faults.length, ...figures }));
  for (const complaint of complaints) console.log(complaint);
  console.log(complaints.length === 0 ? "all is well" : "NOT WELL");
  return complaints.length === 0 ? 0 : 1;
}
