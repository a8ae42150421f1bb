/**
 * Locks with fencing tokens. A lock alone cannot exclude anybody who was delayed; what can be had,
 * and is checked:
 *
 *   M1  tokens strictly grow: who asks for the lock after another got it gets a greater one, and
 *       no token is given twice
 *   M2  no two clients are certain of one lock at the same time (each until it releases it, or its
 *       lease may have run out)
 *   M3  a resource that checks tokens lets nobody in behind a later holder, and nobody without a
 *       token of the lock
 */
import type { Access, History, Hold } from "./history.ts";

/** A resource that checks tokens, for clients in a test to work on. */
export class FencedResource {
  readonly accesses: Access[] = [];
  readonly #lock: string;
  readonly #now: () => number;
  #greatest = 0;

  constructor(lock: string, now: () => number) {
    this.#lock = lock;
    this.#now = now;
  }

  /** Whether the client is let in. */
  access(client: string, token: number): boolean {
    const accepted = token >= this.#greatest;
    if (accepted) this.#greatest = token;
    this.accesses.push({ client, lock: this.#lock, token, at: this.#now(), accepted });
    return accepted;
  }
}

/** Complaints; none if all was kept. */
export function checkFencing({ holds, accesses }: Pick<History, "holds" | "accesses">): string[] {
  const locks = new Set([...holds, ...accesses].map(({ lock }) => lock));
  return [...locks].flatMap((lock) => {
    const own = holds.filter((hold) => hold.lock === lock);
    return [
      ...checkTokens(own),
      ...checkCertainty(own),
      ...checkAccesses(
        own,
        accesses.filter((access) => access.lock === lock),
      ),
    ].map((text) => `lock ${lock}: ${text}`);
  });
}

function checkTokens(holds: readonly Hold[]): string[] {
  const complaints: string[] = [];
  const byCall = [...holds].sort((a, b) => a.call - b.call);
  const byAcquired = [...holds].sort((a, b) => a.acquired - b.acquired);
  let greatest: Hold | undefined;
  let at = 0;
  for (const hold of byCall) {
    for (; (byAcquired[at]?.acquired ?? hold.call) < hold.call; at++) {
      const one = byAcquired[at] as Hold;
      if (greatest === undefined || one.token > greatest.token) greatest = one;
    }
    if (greatest !== undefined && hold.token <= greatest.token) {
      complaints.push(`M1: ${text(hold)} was asked for after ${text(greatest)} was held`);
    }
  }
  const byToken = new Map<number, Hold>();
  for (const hold of holds) {
    const other = byToken.get(hold.token);
    if (other !== undefined) complaints.push(`M1: ${text(other)} and ${text(hold)} share a token`);
    byToken.set(hold.token, hold);
  }
  return complaints;
}

function checkCertainty(holds: readonly Hold[]): string[] {
  const complaints: string[] = [];
  const sorted = [...holds].sort((a, b) => a.acquired - b.acquired);
  let last: Hold | undefined;
  for (const hold of sorted) {
    if (last !== undefined && hold.acquired < last.certainUntil) {
      const isShort = hold.certainUntil <= hold.acquired;
      if (!isShort) complaints.push(`M2: ${text(hold)} while ${text(last)} was certain of it`);
    }
    if (last === undefined || hold.certainUntil > last.certainUntil) last = hold;
  }
  return complaints;
}

function checkAccesses(holds: readonly Hold[], accesses: readonly Access[]): string[] {
  const complaints: string[] = [];
  let greatest = 0;
  for (const { client, token, at, accepted } of accesses) {
    const name = `${client} with token ${token} at ${at.toFixed(3)}`;
    if (!accepted) {
      if (token >= greatest) complaints.push(`M3: ${name} was kept out, the last was ${greatest}`);
      continue;
    }
    if (token < greatest) complaints.push(`M3: ${name} was let in behind ${greatest}`);
    const isHis = holds.some((hold) => {
      return hold.client === client && hold.token === token && hold.call <= at;
    });
    if (!isHis) complaints.push(`M3: ${name} has no such token`);
    greatest = Math.max(greatest, token);
  }
  return complaints;
}

function text({ id, token }: Hold): string {
  return `${id} (token ${token})`;
}
