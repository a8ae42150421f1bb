/**
 * Whoever asks whatever, in either family or as JSON: what comes back, and what is changed by it,
 * is a subset of what the slow filter permits; and what one permission plainly covers is served.
 *
 *   PERMISSIONS_SEEDS=200 PERMISSIONS_FROM=1000 bun test test/permissions
 */
import { expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import type { Inbox } from "../support/grpc-js.ts";
import { startAether } from "../support/processes.ts";
import { PERMISSION_DENIED, seenIn, type Way } from "./clerk.ts";
import { type KeyRange, keysOf } from "./filter.ts";
import type { Asked, Demand } from "./requests.ts";
import { wire } from "./requests.ts";
import { STRANGERS, USERS, World } from "./world.ts";

const SEEDS = Number(process.env["PERMISSIONS_SEEDS"] ?? 3);
const FROM = Number(process.env["PERMISSIONS_FROM"] ?? 1);
const PHASES = 4;
const REQUESTS = 80;
const WAYS: readonly Way[] = ["etcd", "native", "json"];

/** How often each happened: a property that nothing ever met would hold as well. */
interface Tally {
  served: number;
  refused: number;
  seen: number;
  changed: number;
  events: number;
}

async function phase(world: World, prng: Prng, tally: Tally): Promise<void> {
  await world.reshuffle();
  const watches = await openWatches(world, prng);
  for (let i = 0; i < REQUESTS; i++) {
    const everybody = [...USERS, ...USERS, ...STRANGERS];
    const user = everybody[prng.below(everybody.length)] as string;
    await oneRequest(world, user, WAYS[prng.below(WAYS.length)] as Way, tally);
  }
  await closeWatches(watches, tally);
}

async function oneRequest(world: World, user: string, way: Way, tally: Tally): Promise<void> {
  world.requests.home = world.filter.rolesOf(user).flatMap((role) => world.filter.grantsOf(role));
  const asked = world.requests.next();
  const what = `${user} asks ${way} for ${JSON.stringify(asked)}`;
  const answer = await world.clerk.ask(user, way, asked);
  const readable = world.readable(user);
  for (const key of answer.seen)
    expect(`${what}: sees ${shown(key, readable.has(key))}`).toBe(fine(what, "sees", key));
  const lacking = lacks(world, user, asked.demands);
  if (lacking !== undefined)
    expect({ what, lacking, ok: answer.ok }).toEqual({ what, lacking, ok: false });
  if (isPlainlyCovered(world, user, asked))
    expect({ what, code: answer.code }).not.toEqual({ what, code: PERMISSION_DENIED });
  tally.seen += answer.seen.size;
  if (answer.ok) tally.served++;
  else tally.refused++;
  if (!asked.changes) return;
  const changed = await world.changedKeys();
  tally.changed += changed.length;
  for (const key of changed) {
    const may = answer.ok && world.filter.permits(user, "WRITE", key);
    expect(`${what}: changes ${shown(key, may)}`).toBe(fine(what, "changes", key));
  }
}

function shown(key: string, may: boolean): string {
  return `${JSON.stringify(key)} ${may ? "rightly" : "without the right to"}`;
}

function fine(what: string, act: string, key: string): string {
  return `${what}: ${act} ${shown(key, true)}`;
}

/** Something demanded that the filter does not permit. */
function lacks(world: World, user: string, demands: readonly Demand[]): string | undefined {
  if (STRANGERS.some((stranger) => stranger === user))
    return demands.length === 0 ? undefined : "a name";
  for (const { right, ...range } of demands) {
    const key = keysOf(range).find((each) => !world.filter.permits(user, right, each));
    if (key !== undefined) return `${right} ${JSON.stringify(key)}`;
  }
  return undefined;
}

function isPlainlyCovered(world: World, user: string, { demands }: Asked): boolean {
  return demands.every(({ right, ...range }) => world.filter.mustServe(user, right, range));
}

interface Watching {
  readonly user: string;
  readonly range: KeyRange;
  readonly stream: Inbox;
  readonly readable: ReadonlySet<string>;
}

async function openWatches(world: World, prng: Prng): Promise<Watching[]> {
  const watches: Watching[] = [];
  for (const user of [...USERS, ...USERS, ...USERS, ...STRANGERS]) {
    const way = prng.chance(50) ? "etcd" : "native";
    world.requests.home = world.filter.rolesOf(user).flatMap((role) => world.filter.grantsOf(role));
    const range = world.requests.range();
    const stream = world.clerk.watch(user, way);
    const startRevision = prng.chance(50) ? String(1 + prng.below(world.requests.revision)) : "0";
    const prevKv = prng.chance(50);
    stream.send({ createRequest: { ...wire(range), startRevision, prevKv } });
    const watching = { user, range, stream, readable: world.readable(user) };
    if (await isAccepted(world, watching)) watches.push(watching);
    else stream.cancel();
  }
  return watches;
}

/** Holds what became of the request against the filter. */
async function isAccepted(world: World, { user, range, stream }: Watching): Promise<boolean> {
  await stream.until("answer", () => stream.messages.length > 0 || stream.ended).catch(() => {});
  const [first] = stream.messages;
  const accepted = first?.created === true && !first.canceled;
  const demands = [{ ...range, right: "READ" as const }];
  const what = `${user} watches ${JSON.stringify(range)}`;
  const lacking = lacks(world, user, demands);
  if (lacking !== undefined)
    expect({ what, lacking, accepted }).toEqual({ what, lacking, accepted: false });
  if (world.filter.mustServe(user, "READ", range))
    expect({ what, accepted }).toEqual({ what, accepted: true });
  return accepted;
}

async function closeWatches(watches: readonly Watching[], tally: Tally): Promise<void> {
  for (const { user, range, stream, readable } of watches) {
    stream.send({ progressRequest: {} });
    await stream.until("progress", () => stream.messages.at(-1)?.watchId === "-1");
    const what = `${user} watches ${JSON.stringify(range)}`;
    for (const message of stream.messages) {
      tally.events += message.events.length;
      for (const key of seenIn(message.events, "bytes")) {
        expect(`${what}: sees ${shown(key, readable.has(key))}`).toBe(fine(what, "sees", key));
      }
    }
    stream.cancel();
  }
}

const tally: Tally = { served: 0, refused: 0, seen: 0, changed: 0, events: 0 };

for (let seed = FROM; seed < FROM + SEEDS; seed++) {
  test(`what comes back is permitted (seed ${seed})`, async () => {
    await using server = await startAether({ args: ["--bcrypt-cost=4"] });
    const prng = new Prng(seed);
    const world = new World(server.endpoint, prng);
    await world.found();
    for (let i = 0; i < PHASES; i++) await phase(world, prng, tally);
    world.clerk.close();
  });
}

test("all of it happened often enough to mean something", () => {
  if (process.env["PERMISSIONS_SHOW"] === "1") console.error(tally);
  for (const count of Object.values(tally)) expect(count).toBeGreaterThan(20 * SEEDS);
});
