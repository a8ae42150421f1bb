/**
 * How a member without data begins, decided from its configuration and from what the others say
 * of the cluster (AetherPeer.Members). Pure: whoever asks the others asks again until the decision
 * is no longer to wait.
 *
 * A founder ("new") founds once answers make a quorum with itself. It is not enough that nobody
 * objects: a founder that lost its data directory would found again, having forgotten what it
 * voted for and promised. Those who have seen it start know that it has, and refuse it.
 *
 * A member that joins ("existing") was added before, and finds its id by its peer URLs.
 */
import type { MembersPeerResponse } from "../proto/gen/aether.v1.ts";
import { Member } from "../proto/gen/etcdserverpb.ts";
import type { MemberId } from "../raft/types.ts";
import { sameUrls } from "../state/peer-urls.ts";
import { isStarted } from "./change-plan.ts";
import { type Founder, type Founding, foundCluster, memberIdOf } from "./founding.ts";

export interface BootstrapConfig {
  readonly name: string;
  /** Where the others reach this member. */
  readonly peerUrls: readonly string[];
  /** etcd's --initial-cluster: with "new" the founders, with "existing" all members. */
  readonly members: readonly Founder[];
  readonly token: string;
  readonly state: "new" | "existing";
}

/** The newest answer of each of the others that has answered, by its name in the configuration. */
export type BootstrapAnswers = ReadonlyMap<string, MembersPeerResponse>;

type Answer = readonly [name: string, answer: MembersPeerResponse];

export type BootstrapStep =
  /** `members` are the records with which the state begins. */
  | {
      readonly kind: "found";
      readonly clusterId: bigint;
      readonly memberId: MemberId;
      readonly members: readonly Member[];
    }
  /** Ask these again; `needed` more of them have to answer. */
  | { readonly kind: "wait"; readonly names: readonly string[]; readonly needed: number }
  /** `members` are those to ask for the rest. */
  | {
      readonly kind: "join";
      readonly clusterId: bigint;
      readonly memberId: MemberId;
      readonly members: readonly Member[];
    }
  /** Why this member must not start, and what to do about it. */
  | { readonly kind: "refuse"; readonly why: string };

/** What to do next. */
export function bootstrap(config: BootstrapConfig, answers: BootstrapAnswers): BootstrapStep {
  const fault = faultOfConfig(config) ?? faultOfAnswers(answers);
  if (fault !== undefined) return refused(fault);
  return config.state === "new" ? begin(config, answers) : join(config, answers);
}

/** What is wrong with the configuration, whatever the others say. */
function faultOfConfig({ name, peerUrls, members, state }: BootstrapConfig): string | undefined {
  const ours = members.find((each) => each.name === name);
  if (ours === undefined) {
    return `the initial cluster does not name this member, ${name}: add ${name}=${peerUrls[0]}`;
  }
  if (!sameUrls(ours.peerUrls, peerUrls)) {
    const listed = `the initial cluster lists ${name} at ${ours.peerUrls.join(", ")}`;
    return `${listed}, it advertises ${peerUrls.join(", ")} to its peers: make them the same`;
  }
  const urls = members.flatMap((each) => each.peerUrls);
  const twice = urls.find((url, i) => urls.indexOf(url) !== i);
  if (twice !== undefined)
    return `the initial cluster names ${twice} twice: each member has its own`;
  if (state === "existing" && members.length === 1) {
    return "the initial cluster names nobody whom this member could join: list all its members";
  }
  return undefined;
}

/** What no sound member says: whoever believed it would begin as nobody, or as two. */
function faultOfAnswers(answers: BootstrapAnswers): string | undefined {
  for (const [from, { members }] of answers) {
    const ids = new Set(members.map(({ ID }) => ID));
    if (ids.size === members.length && !ids.has(0n)) continue;
    return `${from} lists members without ids of their own: it is damaged, or no member at all`;
  }
  return undefined;
}

function begin(config: BootstrapConfig, answers: BootstrapAnswers): BootstrapStep {
  const founding = foundCluster(config.members, config.token);
  const { clusterId, members } = founding;
  const memberId = memberIdOf(config.peerUrls, config.token);
  for (const [from, answer] of answers) {
    const objection = objectionTo(config, founding, from, answer);
    if (objection !== undefined) return refused(objection);
  }
  const others = config.members.filter(({ name }) => name !== config.name);
  const silent = others.filter(({ name }) => !answers.has(name)).map(({ name }) => name);
  const quorum = Math.floor(members.length / 2) + 1;
  const needed = quorum - 1 - (others.length - silent.length);
  if (needed > 0) return { kind: "wait", names: silent, needed };
  const records = members.map(({ id, name, peerUrls }) =>
    Member.create({ ID: id, name, peerURLs: [...peerUrls].sort() }),
  );
  return { kind: "found", clusterId, memberId, members: records };
}

/** Why a founder must not found, if one of the others' answers says so. */
function objectionTo(
  config: BootstrapConfig,
  { clusterId, members }: Founding,
  from: string,
  answer: MembersPeerResponse,
): string | undefined {
  if (answer.clusterId === 0n) {
    // It is about to found as well: as who we think it is?
    const its = members.find(({ name }) => name === from)?.id;
    if (answer.memberId === 0n || answer.memberId === its) return undefined;
    return `${from} founds as another member than configured here: ${DIFFERENT_CLUSTERS}`;
  }
  if (answer.clusterId !== clusterId) {
    const theirs = `${from} belongs to cluster ${hex(answer.clusterId)}`;
    return `${theirs}, this configuration founds ${hex(clusterId)}: ${DIFFERENT_CLUSTERS}`;
  }
  const memberId = memberIdOf(config.peerUrls, config.token);
  if (answer.removedMemberIds.includes(memberId)) return wasRemoved(memberId, from);
  const ours = answer.members.find(({ ID }) => ID === memberId);
  if (ours === undefined) return notMember(config, from);
  return isStarted(ours) ? dataIsGone(memberId, from) : undefined;
}

function join(config: BootstrapConfig, answers: BootstrapAnswers): BootstrapStep {
  const running = [...answers].filter(([, { clusterId }]) => clusterId !== 0n);
  const mixture = mixtureOf(running);
  if (mixture !== undefined) return refused(mixture);
  const removed = new Set(running.flatMap(([, { removedMemberIds }]) => removedMemberIds));
  for (const [from, { clusterId, members }] of running) {
    const ours = members.find(({ peerURLs }) => sameUrls(peerURLs, config.peerUrls));
    // Who still lists a removed member is behind, and may know nothing of the one added since.
    if (ours === undefined || removed.has(ours.ID)) continue;
    if (isStarted(ours)) return refused(dataIsGone(ours.ID, from));
    const difference = differenceOf(config.members, members, from);
    if (difference !== undefined) return refused(difference);
    return { kind: "join", clusterId, memberId: ours.ID as MemberId, members };
  }
  return unknownToAll(config, running, removed);
}

/** Nobody who answered knows us. They may be behind, but not a majority of them. */
function unknownToAll(
  config: BootstrapConfig,
  running: readonly Answer[],
  removed: ReadonlySet<bigint>,
): BootstrapStep {
  const answered = new Set(running.map(([name]) => name));
  const names = config.members.map(({ name }) => name);
  const silent = names.filter((name) => name !== config.name && !answered.has(name));
  const memberCount = Math.max(1, ...running.map(([, { members }]) => members.length));
  const needed = Math.floor(memberCount / 2) + 1 - running.length;
  if (needed > 0 && silent.length > 0) return { kind: "wait", names: silent, needed };
  const [from] = running[0] as Answer;
  const founderId = memberIdOf(config.peerUrls, config.token);
  return refused(removed.has(founderId) ? wasRemoved(founderId, from) : notMember(config, from));
}

/** Whether the others belong to more than one cluster. */
function mixtureOf(running: readonly Answer[]): string | undefined {
  const first = running[0];
  const other = running.find(([, { clusterId }]) => clusterId !== first?.[1].clusterId);
  if (first === undefined || other === undefined) return undefined;
  const one = `${first[0]} belongs to cluster ${hex(first[1].clusterId)}`;
  return `${one}, ${other[0]} to ${hex(other[1].clusterId)}: ${DIFFERENT_CLUSTERS}`;
}

/** How the configured members differ from those there are, if they do. */
function differenceOf(
  configured: readonly Founder[],
  members: readonly Member[],
  from: string,
): string | undefined {
  const unknown = members.find(
    ({ peerURLs }) => !configured.some(({ peerUrls }) => sameUrls(peerUrls, peerURLs)),
  );
  if (unknown !== undefined) {
    const who = `member ${hex(unknown.ID)} at ${unknown.peerURLs.join(", ")}`;
    return `the initial cluster does not list ${who}, which ${from} does: ${LIST_THEM_ALL}`;
  }
  if (configured.length === members.length) return undefined;
  const counts = `${configured.length} members, the cluster has ${members.length}`;
  return `the initial cluster lists ${counts}: ${LIST_THEM_ALL}`;
}

const LIST_THEM_ALL = "list all members as `member list` shows them, and no others";
const DIFFERENT_CLUSTERS =
  "check the peer URLs, the initial cluster and its token, and for data of a former cluster";

const START_EXISTING = "then start with the state existing";

function dataIsGone(id: bigint, from: string): string {
  const known = `${from} knows member ${hex(id)}, with these peer URLs, as already started`;
  const advice = `give its data directory back, or join as a new member: remove ${hex(id)}`;
  return `${known}, but there is no data here: ${advice}, add it anew, ${START_EXISTING}`;
}

function wasRemoved(id: bigint, from: string): string {
  const known = `${from} knows that member ${hex(id)} was removed from the cluster, for good`;
  return `${known}; join as a new member: add it anew (member add), ${START_EXISTING}`;
}

function notMember({ name, peerUrls }: BootstrapConfig, from: string): string {
  const urls = peerUrls.join(",");
  const advice = `run member add ${name} --peer-urls=${urls} first`;
  return `${from} knows no member at ${urls}: ${advice}, ${START_EXISTING}`;
}

function refused(why: string): BootstrapStep {
  return { kind: "refuse", why };
}

function hex(id: bigint): string {
  return id.toString(16);
}
