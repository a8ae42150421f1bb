/**
 * Lies told to one watcher, planted in what it recorded. Each returns what the watcher says
 * instead, or undefined where there is no occasion on which it could be noticed.
 */
import type { Prng } from "../../src/base/prng.ts";
import type { SeenEvent, Watch, WatchSeen } from "./history.ts";

export interface Victim {
  readonly watch: Watch;
  readonly prng: Prng;
  /** Everything that was committed, by revision. */
  readonly eventsAt: (revision: number) => readonly SeenEvent[];
  readonly lastRevision: number;
}

export type WatchLie = (victim: Victim) => WatchSeen[] | undefined;

type Events = Extract<WatchSeen, { kind: "events" }>;

const isEvents = (one: WatchSeen | undefined): one is Events => one?.kind === "events";

const lastOf = ({ events }: Events): number => events.at(-1)?.kv.modRevision ?? 0;

/** Picks a place where `fits` holds, and puts `become` of it there. */
function at(
  { watch, prng }: Victim,
  fits: (one: WatchSeen, next: WatchSeen | undefined) => boolean,
  become: (one: Events, next: WatchSeen | undefined) => WatchSeen[],
): WatchSeen[] | undefined {
  const { seen } = watch;
  const places = [...seen.keys()].filter((i) => fits(seen[i] as WatchSeen, seen[i + 1]));
  if (places.length === 0) return undefined;
  const place = prng.pick(places);
  return seen.toSpliced(place, 1, ...become(seen[place] as Events, seen[place + 1]));
}

/** Changes the first event of a response for which `fits` holds. */
function event(
  fits: (event: SeenEvent, watch: Watch) => boolean,
  become: (event: SeenEvent) => SeenEvent,
): WatchLie {
  return (victim) => {
    const has = (one: WatchSeen): boolean => {
      return isEvents(one) && one.events.some((each) => fits(each, victim.watch));
    };
    return at(victim, has, (one) => {
      const index = one.events.findIndex((each) => fits(each, victim.watch));
      return [{ ...one, events: one.events.with(index, become(one.events[index] as SeenEvent)) }];
    });
  };
}

/** A response that nothing else of its kind is mixed up with: whole, and followed by another. */
const isFollowed = (one: WatchSeen, next: WatchSeen | undefined): boolean => {
  return isEvents(one) && !one.fragment && (isEvents(next) || next?.kind === "progress");
};

const beside = (one: Events, events: readonly SeenEvent[]): WatchSeen => ({ ...one, events });

export const WATCH_LIES: Readonly<Record<string, WatchLie>> = {
  "response left out": (victim) => at(victim, isFollowed, () => []),

  "event left out": (victim) => {
    const hasTwo = (one: WatchSeen): boolean => isEvents(one) && one.events.length > 1;
    return at(victim, hasTwo, (one) => [beside(one, one.events.slice(1))]);
  },

  "response sent twice": (victim) => at(victim, isFollowed, (one) => [one, one]),

  "responses exchanged": ({ watch, prng }) => {
    const { seen } = watch;
    const places = [...seen.keys()].filter((i) => isEvents(seen[i]) && isEvents(seen[i + 1]));
    if (places.length === 0) return undefined;
    const place = prng.pick(places);
    const [first, second] = [seen[place] as Events, seen[place + 1] as Events];
    return seen.toSpliced(place, 2, { ...second, at: first.at }, { ...first, at: second.at });
  },

  "events exchanged": (victim) => {
    const hasTwo = (one: WatchSeen): boolean => isEvents(one) && one.events.length > 1;
    return at(victim, hasTwo, (one) => {
      const [first, second, ...rest] = one.events;
      return [beside(one, [second as SeenEvent, first as SeenEvent, ...rest])];
    });
  },

  "revision split over two responses": (victim) => {
    const cut = ({ events }: Events): number => {
      return events.findIndex(({ kv }, i) => kv.modRevision === events[i - 1]?.kv.modRevision);
    };
    const isSplittable = (one: WatchSeen): boolean => isEvents(one) && cut(one) > 0;
    return at(victim, isSplittable, (one) => [
      { ...one, events: one.events.slice(0, cut(one)), fragment: false },
      beside(one, one.events.slice(cut(one))),
    ]);
  },

  "progress ahead of its events": (victim) => {
    const isWhole = (one: WatchSeen): boolean => isEvents(one);
    return at(victim, isWhole, (one) => [
      { kind: "progress", at: one.at, revision: lastOf(one) },
      one,
    ]);
  },

  "last events kept back behind progress": (victim) => {
    const isLast = (one: WatchSeen, next: WatchSeen | undefined): boolean => {
      return isEvents(one) && !one.fragment && next?.kind === "progress";
    };
    return at(victim, isLast, () => []);
  },

  "wrong value": event(
    ({ type }) => type === "put",
    (one) => ({ ...one, kv: { ...one.kv, value: "phantom" } }),
  ),

  "wrong create_revision": event(
    ({ type }) => type === "put",
    (one) => ({ ...one, kv: { ...one.kv, createRevision: (one.kv.createRevision ?? 0) + 1 } }),
  ),

  "wrong predecessor": event(
    ({ prevKv }) => prevKv !== null,
    (one) => ({ ...one, prevKv: { ...one.prevKv, key: one.kv.key, value: "phantom" } }),
  ),

  "predecessor of a new key": event(
    ({ type, prevKv, kv }, { request }) => {
      return request.prevKv && type === "put" && prevKv === null && kv.version === 1;
    },
    (one) => ({ ...one, prevKv: { ...one.kv, modRevision: one.kv.modRevision - 1 } }),
  ),

  "predecessor that was not asked for": event(
    ({ type, kv }, { request }) => !request.prevKv && type === "put" && (kv.version ?? 0) > 1,
    (one) => ({ ...one, prevKv: { key: one.kv.key } }),
  ),

  "put told as a deletion": event(
    ({ type }) => type === "put",
    ({ kv: { key, modRevision }, prevKv }) => ({
      type: "delete",
      kv: { key, modRevision },
      prevKv,
    }),
  ),

  "event that was never committed": (victim) => {
    return at(victim, isFollowed, (one) => {
      const last = one.events.at(-1) as SeenEvent;
      const kv = { key: "k1~", modRevision: lastOf(one), value: "phantom" };
      return [beside(one, [...one.events, { ...last, type: "put", kv }])];
    });
  },

  "event that a filter leaves out": (victim) => {
    const { watch, eventsAt } = victim;
    const { request } = watch;
    const isOther = ({ type, kv }: SeenEvent): boolean => {
      return (
        request.without.includes(type) || (request.end === undefined && kv.key !== request.key)
      );
    };
    const others = (one: WatchSeen): readonly SeenEvent[] => {
      return isEvents(one) ? eventsAt(lastOf(one)).filter(isOther) : [];
    };
    return at(
      victim,
      (one) => others(one).length > 0,
      (one) => [beside(one, [...one.events, { ...(others(one)[0] as SeenEvent), prevKv: null }])],
    );
  },

  "event from before the start": (victim) => {
    const { startRevision, without, end } = victim.watch.request;
    if (end === undefined || startRevision < 3) return undefined;
    const earlier = victim.eventsAt(startRevision - 1).filter(({ type, kv }) => {
      return !without.includes(type) && kv.key >= victim.watch.request.key;
    });
    if (earlier.length === 0) return undefined;
    const events = earlier.map((one) => ({ ...one, prevKv: null }));
    return at(victim, isFollowed, (one) => [beside(one, events), one]);
  },

  "start in the past, told from now on": ({ watch, lastRevision }) => {
    const { seen, request } = watch;
    const first = seen.findIndex(isEvents);
    const isLate = request.startRevision > 0 && request.startRevision < lastRevision;
    if (!isLate || first < 0 || first === seen.findLastIndex(isEvents)) return undefined;
    return seen.toSpliced(first, 1);
  },

  "canceled by a compaction that it had outrun": ({ watch, prng }) => {
    const { seen } = watch;
    const places = [...seen.keys()].filter(
      (i) => isEvents(seen[i]) && lastOf(seen[i] as Events) > 3,
    );
    if (places.length === 0) return undefined;
    const place = prng.pick(places);
    const one = seen[place] as Events;
    const compactRevision = 2 + prng.below(lastOf(one) - 2);
    return [...seen.slice(0, place + 1), { kind: "canceled", at: one.at, compactRevision }];
  },

  "compaction passed over in silence": ({ watch, eventsAt, lastRevision }) => {
    const { seen, request } = watch;
    const last = seen.at(-1);
    if (last?.kind !== "canceled" || last.compactRevision === 0) return undefined;
    if (request.end === undefined || request.without.length > 0) return undefined;
    const { compactRevision } = last;
    if (compactRevision + 1 > lastRevision) return undefined;
    const events = eventsAt(compactRevision + 1).map((one) => ({ ...one, prevKv: null }));
    const revision = compactRevision + 1;
    if (!events.every(({ kv }) => kv.key >= request.key)) return undefined;
    const told: WatchSeen = { kind: "events", at: last.at, revision, events, fragment: false };
    return [...seen.slice(0, -1), told];
  },

  "told something after it was canceled": ({ watch }) => {
    const first = watch.seen.find(isEvents);
    const last = watch.seen.at(-1);
    if (last?.kind !== "canceled" || first === undefined) return undefined;
    return [...watch.seen, { kind: "progress", at: last.at, revision: first.revision }];
  },
};
