/**
 * `snapshot restore`: its flags, their checks in etcd's order and words (etcdutl/etcdutl/
 * snapshot_command.go, server/config/config.go: VerifyBootstrap), and what it tells. A name is not
 * asked of DNS, as it is by etcd: URLs are compared letter by letter.
 */
import { existsSync } from "node:fs";
import type { ArgsDef } from "citty";
import { isFree, type RestoreOptions, restoreMember } from "../../server/restore-member.ts";
import type { Imported } from "../../storage/etcd/import-state.ts";
import { openSnapshot, type SnapshotFile } from "../../storage/etcd/snapshot-file.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT, ExitError } from "../exit.ts";
import type { Io } from "../io.ts";
import { orExit } from "./failures.ts";

/** What a new member is told of itself, whatever its state comes from. */
export const MEMBER_ARGS: ArgsDef = {
  "data-dir": { type: "string", valueHint: "dir", description: "Where to; <name>.etcd if absent" },
  "wal-dir": { type: "string", valueHint: "dir", description: "For the log, if not in data-dir" },
  "initial-cluster": {
    type: "string",
    default: "default=http://localhost:2380",
    valueHint: "list",
    description: "All members of the new cluster: name=peer URL, separated by commas",
  },
  "initial-cluster-token": {
    type: "string",
    default: "etcd-cluster",
    valueHint: "text",
    description: "Tells clusters with the same peer URLs apart",
  },
  "initial-advertise-peer-urls": {
    type: "string",
    default: "http://localhost:2380",
    valueHint: "list",
    description: "Where the other members reach this one",
  },
  name: { type: "string", default: "default", valueHint: "name", description: "Of this member" },
  "bump-revision": {
    type: "string",
    default: "0",
    valueHint: "n",
    description: "Add this to the newest revision, so that it never goes back for clients",
  },
  "mark-compacted": {
    type: "boolean",
    default: false,
    description: "Count that revision as compacted; with --bump-revision, and only then",
  },
};

export const RESTORE_ARGS: ArgsDef = {
  file: { type: "positional", required: false, description: "The snapshot" },
  ...MEMBER_ARGS,
  "skip-hash-check": {
    type: "boolean",
    default: false,
    description: "Take a database without a hash, copied out of a data directory",
  },
  "initial-memory-map-size": {
    type: "string",
    default: "0",
    valueHint: "bytes",
    description: "No effect",
  },
};

/** What the flags say of the member to be. */
export type NewMember = Omit<RestoreOptions, "snapshot">;

/** Throws ExitError for what cannot be, before anything is opened. */
export function newMember(args: Arguments): NewMember {
  const bumpRevision = args.integer("bump-revision");
  if (bumpRevision > 0 !== args.on("mark-compacted")) {
    throw new ExitError(EXIT.BAD_ARGUMENTS, "--mark-compacted required if --revision-bump > 0");
  }
  const name = args.text("name");
  const peerUrls = args.text("initial-advertise-peer-urls").split(",");
  for (const url of peerUrls) requireUrl(url);
  const members = membersOf(args.text("initial-cluster"));
  requireFitting({ name, peerUrls, members });
  const dataDir = args.text("data-dir") || `${name}.etcd`;
  if (!isFree(dataDir)) {
    throw failed(`data-dir ${JSON.stringify(dataDir)} not empty or could not be read`);
  }
  const walDir = args.text("wal-dir");
  if (walDir !== "" && existsSync(walDir)) {
    throw failed(`wal-dir ${JSON.stringify(walDir)} exists`);
  }
  const token = args.text("initial-cluster-token");
  const logDir = walDir === "" ? undefined : walDir;
  return { name, dataDir, logDir, peerUrls, members, token, bumpRevision };
}

/** Restores the snapshot at `path`; returns what it held. */
export async function restoreFile(
  path: string,
  member: NewMember,
  options: { readonly skipHashCheck: boolean },
): Promise<Imported> {
  return await orExit(() =>
    openSnapshot(path, async (snapshot) => {
      if (!options.skipHashCheck) requireHash(snapshot);
      return await restoreMember({ ...member, snapshot });
    }),
  );
}

/** One line about what is there now, on standard error. */
export function tellRestored(found: Imported, { dataDir, name }: NewMember, io: Io): void {
  const { keys, revision, leases, users, roles, authEnabled } = found;
  const auth = users + roles > 0 ? `, ${users} users and ${roles} roles` : "";
  const enabled = authEnabled ? " (auth is enabled)" : "";
  const what = `${keys} keys at revision ${revision}, ${leases} leases${auth}${enabled}`;
  io.err(`${io.program}: restored ${what} as member ${name} in ${dataDir}\n`);
}

function requireHash({ hashed, mismatch }: SnapshotFile): void {
  if (!hashed) throw failed("snapshot missing hash but --skip-hash-check=false");
  const wrong = mismatch();
  if (wrong === undefined) return;
  const list = (bytes: Buffer): string => `[${[...bytes].join(" ")}]`;
  throw failed(`expected sha256 ${list(wrong.expected)}, got ${list(wrong.got)}`);
}

type Founder = NewMember["members"][number];

/** `name=url,name=url`; a name that comes again has one URL more. */
function membersOf(text: string): Founder[] {
  const members = new Map<string, string[]>();
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    const url = equals === -1 ? "" : part.slice(equals + 1);
    requireUrl(url);
    const name = part.slice(0, equals);
    members.set(name, [...(members.get(name) ?? []), url]);
  }
  return [...members].map(([name, peerUrls]) => ({ name, peerUrls }));
}

/** As etcd's types.NewURLs. */
function requireUrl(text: string): void {
  const [, scheme, rest = ""] = /^(https?|unixs?):\/\/(.*)$/.exec(text) ?? [];
  if (scheme === undefined) throw failed(`URL scheme must be http, https, unix, or unixs: ${text}`);
  if (scheme.startsWith("unix")) return;
  if (!/^(\[[^\]]+\]|[^:/]+):\d+(\/|$)/.test(rest)) {
    throw failed(`URL address does not have the form "host:port": ${text}`);
  }
  if (/^[^/]+\/./.test(rest)) throw failed(`URL must not contain a path: ${text}`);
}

function requireFitting({
  name,
  peerUrls,
  members,
}: Pick<NewMember, "name" | "peerUrls" | "members">) {
  const own = members.find((each) => each.name === name)?.peerUrls;
  if (own === undefined) {
    const missing = `couldn't find local name ${JSON.stringify(name)}`;
    throw failed(`${missing} in the initial cluster configuration`);
  }
  const unnamed = own.filter((url) => !peerUrls.includes(url));
  if (unnamed.length > 0) {
    const has = unnamed.map((url) => `${name}=${url}`).join(",");
    const advertised = [...peerUrls].sort().join(",");
    const but = `missing from --initial-advertise-peer-urls=${advertised}`;
    throw failed(`--initial-cluster has ${has} but ${but}`);
  }
  const unlisted = peerUrls.filter((url) => !own.includes(url));
  if (unlisted.length > 0) {
    const listed = own.map((url) => `${name}=${url}`).join(",");
    const but = `missing from --initial-cluster=${listed}`;
    throw failed(`--initial-advertise-peer-urls has ${unlisted.join(",")} but ${but}`);
  }
  const urls = members.flatMap((each) => each.peerUrls);
  if (new Set(urls).size === urls.length) return;
  const text = members.flatMap((each) => each.peerUrls.map((url) => `${each.name}=${url}`));
  throw failed(`initial cluster ${text.join(",")} has duplicate url`);
}

function failed(text: string): ExitError {
  return new ExitError(EXIT.FAILED, text);
}
