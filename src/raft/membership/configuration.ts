/**
 * Configurations: who votes, who learns, and the joint form between two of them (§4.3).
 *
 * Invariants of a configuration that is in use, checked by faultOf():
 *   C1  each list rises strictly and holds no 0          C2  a learner is no voter
 *   C3  learnersNext are outgoing voters, and only while joint
 *   C4  autoLeave only while joint
 * Lists are sorted so that equal configurations are equal bytes on every member.
 */
import { type Configuration, type MemberId, NOBODY } from "../types.ts";

/** Nobody: what a member that is to join knows before the leader has told it more. */
export const EMPTY_CONFIGURATION: Configuration = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

/** A plain configuration of these members; duplicates are merged. */
export function configurationOf(
  voters: readonly MemberId[],
  learners: readonly MemberId[] = [],
): Configuration {
  return { ...EMPTY_CONFIGURATION, voters: sorted(voters), learners: sorted(learners) };
}

/** The ids in rising order, each once. */
export function sorted(ids: Iterable<MemberId>): MemberId[] {
  return [...new Set(ids)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0;
}

/** A voter of either half. */
export function isVoter(configuration: Configuration, id: MemberId): boolean {
  return configuration.voters.includes(id) || configuration.votersOutgoing.includes(id);
}

export function isMember(configuration: Configuration, id: MemberId): boolean {
  return isVoter(configuration, id) || configuration.learners.includes(id);
}

/** Voters of both halves and learners, in rising order. */
export function membersOf(configuration: Configuration): MemberId[] {
  const { voters, votersOutgoing, learners } = configuration;
  return sorted([...voters, ...votersOutgoing, ...learners]);
}

export function sameConfiguration(a: Configuration, b: Configuration): boolean {
  return configurationText(a) === configurationText(b);
}

/** For people: `(1 2 3)`, `(1 4)&(1 2 3) learners=(5) next=(2) auto`. */
export function configurationText(configuration: Configuration): string {
  const list = (ids: readonly MemberId[]): string => `(${ids.join(" ")})`;
  let text = list(configuration.voters);
  if (isJoint(configuration)) text += `&${list(configuration.votersOutgoing)}`;
  if (configuration.learners.length > 0) text += ` learners=${list(configuration.learners)}`;
  if (configuration.learnersNext.length > 0) text += ` next=${list(configuration.learnersNext)}`;
  return configuration.autoLeave ? `${text} auto` : text;
}

/** Which invariant a configuration breaks, or undefined. Takes any object of the right shape. */
export function faultOf(configuration: Configuration): string | undefined {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration;
  for (const ids of [voters, votersOutgoing, learners, learnersNext]) {
    if (!risesStrictly(ids)) return "C1: a list is not in strictly rising order";
  }
  for (const id of learners) {
    if (isVoter(configuration, id)) return `C2: ${id} both votes and learns`;
  }
  for (const id of learnersNext) {
    if (!votersOutgoing.includes(id)) return `C3: ${id} is no outgoing voter`;
    if (voters.includes(id)) return `C3: ${id} is to learn and to vote`;
  }
  if (autoLeave && votersOutgoing.length === 0) return "C4: leaves what is not joint";
  return undefined;
}

function risesStrictly(ids: readonly MemberId[]): boolean {
  let previous = NOBODY;
  for (const id of ids) {
    if (id <= previous) return false;
    previous = id;
  }
  return true;
}
