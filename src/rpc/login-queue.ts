/**
 * Whose password is looked at next. A look takes a thread the better part of a tenth of a second
 * by design, so whoever may ask without a limit can keep everybody else from logging in.
 *
 *   lane = user and host ┐
 *   lane                 ├─▶ turns go in circles, by user and by host in turn ─▶ few at a time
 *   lane                 ┘
 *
 * One turn goes to the user who has waited longest for one, whatever hosts ask for him; the next to
 * the host that has, whatever users it asks for; the third to those who have succeeded before, by
 * the same user from the same host. So a thousand calls for one name, or by one host, delay
 * another's by a turn or two each, and many names by one host, which may be a proxy, do not keep
 * out those whom we know there. Many names from many hosts have no more than the threads' pace.
 *
 * Who has failed several times waits before his next turn, longer each time. That is counted by
 * user and host together: counted by user alone, anybody could keep root out.
 */
import { AetherError } from "../base/errors.ts";

/** Calls that wait; beyond it the newest of the greediest is refused. */
export const LOGINS_WAITING_MAX = 1000;

/** One that has so many waiting is refused at once when there is no room: it is the greedy one. */
const GREEDY_WAITING = LOGINS_WAITING_MAX / 8;

/** Failures in a row that cost nothing: people mistype. */
const FAILURES_FREE = 3;

/**
 * The longest wait, in first ones. A first one is as long as it takes to look at a password or two
 * (passwords.ts), and is doubled with each failure: 100 ms and 5 s, or 17,000 guesses a day, with
 * hashes as they are by default.
 */
const PENALTIES_MAX = 50;

/** Quiet time after which failures are forgotten. */
const FORGET_MS = 60_000;

/** Calls that may wait behind a penalty; a guesser is not kept company by a thousand more. */
const PENALISED_WAITING_MAX = 16;

/** Turns in a circle: of users, of hosts, of those who have succeeded before. */
const TURN_KINDS = 3;

/** Users and hosts remembered for failing, or succeeding, some 200 bytes each; the oldest goes. */
const REMEMBERED_MAX = 10_000;

/** Who wants to know, and whether he still does. */
export interface Asker {
  readonly user: string;
  /** The address, of IPv6 the network (base/source.ts). */
  readonly host: string;
  readonly isWanted: () => boolean;
}

/** What the queue needs of the world. */
export interface QueueTime {
  readonly nowMs: () => number;
  readonly after: (ms: number, run: () => void) => void;
}

export interface LoginQueueOptions {
  /** Passwords that are looked at at once. */
  readonly runningMax: number;
  /** The first wait of who has failed too often. */
  readonly penaltyMs: number;
}

interface Waiting {
  readonly isWanted: () => boolean;
  readonly go: () => void;
  readonly refuse: (error: AetherError) => void;
}

interface Lane {
  readonly user: string;
  readonly host: string;
  readonly waiting: Waiting[];
}

/** A user, or a host, of whom somebody waits. */
interface Party {
  waitingCount: number;
  lastTurn: number;
}

interface Failures {
  count: number;
  atMs: number;
  untilMs: number;
}

export class LoginQueue {
  readonly #options: LoginQueueOptions;
  readonly #time: QueueTime;
  readonly #lanes = new Map<string, Lane>();
  readonly #users = new Map<string, Party>();
  readonly #hosts = new Map<string, Party>();
  readonly #failures = new Map<string, Failures>();
  /** Those who have succeeded, the latest last. */
  readonly #known = new Set<string>();
  #waitingCount = 0;
  #running = 0;
  #turns = 0;
  #armed = false;
  /** Calls that were refused, because too many waited. */
  refusedCount = 0;
  /** Where the last of them came from; "": none did. */
  refusedHost = "";
  /** Failures that made somebody wait. */
  penaltyCount = 0;

  constructor(options: LoginQueueOptions, time: QueueTime) {
    this.#options = options;
    this.#time = time;
  }

  get waitingCount(): number {
    return this.#waitingCount;
  }

  /**
   * Resolves when it is his turn, which leave() ends. Rejects with too_many_requests, or with
   * canceled if nobody wants it any more when his turn has come.
   */
  enter({ user, host, isWanted }: Asker): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#waitingCount >= LOGINS_WAITING_MAX) this.#makeRoom(user, host);
      const key = laneKey(user, host);
      const lane = this.#lanes.get(key) ?? { user, host, waiting: [] };
      if (this.#isPenalised(key) && lane.waiting.length >= PENALISED_WAITING_MAX)
        throw this.#full(host);
      this.#lanes.set(key, lane);
      lane.waiting.push({ isWanted, go: resolve, refuse: reject });
      this.#count(lane, 1);
      this.#pump();
    });
  }

  leave(): void {
    this.#running--;
    this.#pump();
  }

  /** A wrong password. */
  failed(user: string, host: string): void {
    const key = laneKey(user, host);
    const nowMs = this.#time.nowMs();
    const before = this.#failures.get(key);
    const count = before === undefined || before.atMs + FORGET_MS < nowMs ? 1 : before.count + 1;
    const over = count - FAILURES_FREE;
    const { penaltyMs } = this.#options;
    const waitMs = over <= 0 ? 0 : penaltyMs * Math.min(2 ** (over - 1), PENALTIES_MAX);
    if (waitMs > 0) {
      this.penaltyCount++;
      this.#known.delete(key);
    }
    this.#failures.delete(key); // it is the newest now
    this.#failures.set(key, { count, atMs: nowMs, untilMs: nowMs + waitMs });
    forgetOldest(this.#failures);
  }

  succeeded(user: string, host: string): void {
    const key = laneKey(user, host);
    this.#failures.delete(key);
    this.#known.delete(key);
    this.#known.add(key);
    forgetOldest(this.#known);
  }

  #isPenalised(key: string): boolean {
    const { untilMs = 0 } = this.#failures.get(key) ?? {};
    return untilMs > this.#time.nowMs();
  }

  #full(host: string): AetherError {
    this.refusedCount++;
    this.refusedHost = host;
    return new AetherError("too_many_requests", "too many passwords wait to be checked");
  }

  /** The newest call of the greediest goes; throws if that is the one that comes. */
  #makeRoom(user: string, host: string): void {
    const own = this.#waitingOf(user, host);
    if (own >= GREEDY_WAITING) throw this.#full(host);
    let greediest: Lane | undefined;
    let most = own;
    for (const lane of this.#lanes.values()) {
      const waiting = this.#waitingOf(lane.user, lane.host);
      if (waiting > own && waiting >= most) [greediest, most] = [lane, waiting];
    }
    if (greediest === undefined) throw this.#full(host);
    const last = greediest.waiting.pop();
    this.#count(greediest, -1);
    last?.refuse(this.#full(greediest.host));
  }

  #waitingOf(user: string, host: string): number {
    const [ofUser, ofHost] = [this.#users.get(user), this.#hosts.get(host)];
    return Math.max(ofUser?.waitingCount ?? 0, ofHost?.waitingCount ?? 0);
  }

  /** More wait, or fewer. Who comes to wait stands behind those who do. */
  #count(lane: Lane, change: 1 | -1): void {
    this.#waitingCount += change;
    for (const [parties, name] of [
      [this.#users, lane.user],
      [this.#hosts, lane.host],
    ] as const) {
      const party = parties.get(name) ?? { waitingCount: 0, lastTurn: this.#turns };
      party.waitingCount += change;
      if (party.waitingCount === 0) parties.delete(name);
      else parties.set(name, party);
    }
    if (lane.waiting.length === 0) this.#lanes.delete(laneKey(lane.user, lane.host));
  }

  #pump(): void {
    while (this.#running < this.#options.runningMax && this.#waitingCount > 0) {
      const lane = this.#next();
      if (lane === undefined) {
        this.#wakeLater();
        return;
      }
      const next = lane.waiting.shift() as Waiting;
      const isWanted = next.isWanted();
      if (isWanted) this.#noteTurn(lane);
      this.#count(lane, -1);
      if (isWanted) {
        this.#running++;
        next.go();
      } else next.refuse(new AetherError("canceled"));
    }
  }

  /** The lane whose turn it is, of those without a penalty. */
  #next(): Lane | undefined {
    const nowMs = this.#time.nowMs();
    const kind = this.#turns % TURN_KINDS;
    let best: Lane | undefined;
    let bestTurns: Turns = [0, 0, 0];
    for (const [key, lane] of this.#lanes) {
      const { untilMs = 0 } = this.#failures.get(key) ?? {};
      if (untilMs > nowMs) continue;
      const ofUser = this.#users.get(lane.user)?.lastTurn ?? 0;
      const ofHost = this.#hosts.get(lane.host)?.lastTurn ?? 0;
      const stranger = kind === 2 && !this.#known.has(key) ? 1 : 0;
      const [first, second] = kind === 1 ? [ofHost, ofUser] : [ofUser, ofHost];
      const turns: Turns = [stranger, first, second];
      if (best === undefined || isBefore(turns, bestTurns)) [best, bestTurns] = [lane, turns];
    }
    return best;
  }

  #noteTurn({ user, host }: Lane): void {
    this.#turns++;
    for (const party of [this.#users.get(user), this.#hosts.get(host)]) {
      if (party !== undefined) party.lastTurn = this.#turns;
    }
  }

  /** Everybody who waits has a penalty: until the first one's is over. */
  #wakeLater(): void {
    if (this.#armed) return;
    this.#armed = true;
    let untilMs = Number.POSITIVE_INFINITY;
    for (const key of this.#lanes.keys()) {
      untilMs = Math.min(untilMs, this.#failures.get(key)?.untilMs ?? 0);
    }
    this.#time.after(Math.max(1, untilMs - this.#time.nowMs()), () => {
      this.#armed = false;
      this.#pump();
    });
  }
}

function laneKey(user: string, host: string): string {
  return `${host} ${user}`;
}

type Turns = readonly [stranger: number, first: number, second: number];

function isBefore(a: Turns, b: Turns): boolean {
  if (a[0] !== b[0]) return a[0] < b[0];
  return a[1] === b[1] ? a[2] < b[2] : a[1] < b[1];
}

/** Within bounds. */
function forgetOldest(remembered: {
  readonly size: number;
  keys(): Iterable<string>;
  delete(key: string): unknown;
}): void {
  if (remembered.size <= REMEMBERED_MAX) return;
  for (const oldest of remembered.keys()) {
    remembered.delete(oldest);
    return;
  }
}
