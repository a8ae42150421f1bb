/**
 * The real etcd of the version that we answer as: what tests ask when they want to know what etcd
 * does. Built by `bun scripts/etcd-witness.ts`; a test that needs it is skipped where it is not:
 *
 *   describe.skipIf(witness === undefined)("…", () => {
 *     await using server = await startWitness();
 *
 * Debian's older etcd is ETCD and startEtcd in processes.ts.
 */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { etcdKind, type Launcher, ServerProcess } from "./processes.ts";

export const WITNESS_VERSION = "3.7.1";

export const WITNESS_TOOLS = ["etcd", "etcdctl", "etcdutl"] as const;

/** Paths of the three programs, and of the directory that holds them. */
export type Witness = Readonly<Record<(typeof WITNESS_TOOLS)[number] | "directory", string>>;

/** Where the programs are looked for: a directory of one's own, or where our script puts them. */
export const WITNESS_DIRECTORY =
  process.env.AETHER_ETCD_WITNESS ?? join(homedir(), ".cache/aether", `etcd-v${WITNESS_VERSION}`);

/** The witness, if all three programs are here. */
export const witness: Witness | undefined = findWitness(WITNESS_DIRECTORY);

export function findWitness(directory: string): Witness | undefined {
  const paths = WITNESS_TOOLS.map((tool) => [tool, join(directory, tool)] as const);
  if (!paths.every(([, path]) => existsSync(path))) return undefined;
  return { directory, ...(Object.fromEntries(paths) as Omit<Witness, "directory">) };
}

/** One member of it, on loopback ports of its own; throws when it is not here. */
export const startWitness: Launcher = (options = {}) => {
  if (witness === undefined) throw new Error(absence());
  return ServerProcess.start(etcdKind(witness.etcd), options);
};

/** What is to be said where the witness is missing. */
export function absence(): string {
  const how = "bun scripts/etcd-witness.ts builds it where go is installed";
  return `etcd ${WITNESS_VERSION} is not in ${WITNESS_DIRECTORY}: ${how}`;
}
