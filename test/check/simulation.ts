/**
 * Clients of a right server, on a clock of their own: requests wait on their way, are lost, come
 * late (after the client gave up), are refused; answers are lost; the server crashes. What they
 * recorded is a history that a right server can give; a lie planted in the server makes it wrong.
 */
import { Heap } from "../../src/base/heap.ts";
import { Prng } from "../../src/base/prng.ts";
import { type CallRecorder, type History, merge, Recorder } from "./history.ts";
import { NaiveServer, type Reply } from "./naive-server.ts";
import { type Mix, RequestMix } from "./request-mix.ts";
import type { Request } from "./requests.ts";
import { SimulatedWatches } from "./simulated-watches.ts";

export interface SimulationOptions {
  readonly seed: number;
  readonly clients: number;
  /** All clients together. */
  readonly calls: number;
  readonly keys: number;
  /** Calls in a hundred that get no answer. */
  readonly unknownPercent: number;
  readonly mix: Mix;
  readonly watches?: number;
  readonly lie?: Lie;
}

/** What the server knows of a request when it runs it. */
export interface Circumstances {
  readonly prng: Prng;
  /** The newest revision that any client had been told when the request was sent. */
  readonly told: number;
  /** Its client will never see the answer. */
  readonly isLost: boolean;
  /** Its client will be told that it was refused. */
  readonly isRefused: boolean;
  readonly now: number;
}

/** Answers instead of the server; undefined when it leaves that to the server. */
export interface Lie {
  isTold: boolean;
  tell(server: NaiveServer, request: Request, now: Circumstances): Reply | undefined;
}

export interface Simulated {
  readonly history: History;
  readonly server: NaiveServer;
  /** Whether the lie was told. */
  readonly hasLied: boolean;
}

const HOP_MS_MAX = 3;
const TIMEOUT_MS = 12;
const LATE_MS_MAX = 60;
const THINK_MS_MAX = 2;
const DOWN_MS = 5;
/** A lie waits until the store is in use. */
const LIE_AFTER = 0.25;

export function simulate(options: SimulationOptions): Simulated {
  return new Simulation(options).run();
}

interface Client {
  readonly name: string;
  readonly recorder: Recorder;
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #prng: Prng;
  readonly #server = new NaiveServer();
  readonly #mix: RequestMix;
  readonly #clients: Client[];
  readonly #watches: SimulatedWatches;
  readonly #agenda = new Heap<{ at: number; order: number; run: () => void }>((a, b) => {
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  });
  #order = 0;
  #now = 0;
  #sent = 0;
  #told = 1;
  /** Grows with each crash: what belongs to an older one is lost. */
  #life = 0;
  #isDown = false;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#prng = new Prng(options.seed);
    this.#mix = new RequestMix(this.#prng, options.keys, options.mix);
    this.#clients = Array.from({ length: options.clients }, (_, index) => {
      const name = `c${index + 1}`;
      return { name, recorder: new Recorder(name, () => this.#now) };
    });
    this.#watches = new SimulatedWatches({
      count: options.watches ?? 0,
      prng: this.#prng,
      server: this.#server,
      keys: this.#mix.keys,
      after: (ms, run) => this.#after(ms, run),
      now: () => this.#now,
    });
  }

  run(): Simulated {
    for (const client of this.#clients) this.#after(this.#prng.unit(), () => this.#next(client));
    // A crash might lose the very answer that is a lie.
    const { unknownPercent, lie } = this.#options;
    if (unknownPercent > 0 && lie === undefined) this.#after(this.#crashIn(), () => this.#crash());
    this.#watches.start();
    for (let next = this.#agenda.pop(); next !== undefined; next = this.#agenda.pop()) {
      this.#now = next.at;
      next.run();
    }
    const histories = this.#clients.map(({ recorder }) => recorder.history());
    const history = merge([...histories, this.#watches.history()]);
    return { history, server: this.#server, hasLied: this.#options.lie?.isTold === true };
  }

  #after(ms: number, run: () => void): void {
    this.#agenda.push({ at: this.#now + ms, order: this.#order++, run });
  }

  #next(client: Client): void {
    const { calls } = this.#options;
    if (this.#sent === calls + this.#clients.length) {
      this.#watches.finish();
      return;
    }
    this.#sent++;
    // In the end everybody looks at everything, so that whatever was done is seen.
    const isEnd = this.#sent > calls;
    const request = isEnd ? this.#mix.everything() : this.#mix.next(this.#server.revision);
    const told = this.#told;
    const call = client.recorder.call(request);
    const again = (): void =>
      this.#after(this.#prng.unit() * THINK_MS_MAX, () => this.#next(client));
    if (isEnd) this.#send({ request, told, call, again, fate: "answered" });
    else this.#send({ request, told, call, again, fate: this.#fate() });
  }

  #fate(): Fate {
    if (this.#prng.chance(1)) return "refused";
    if (!this.#prng.chance(this.#options.unknownPercent)) return "answered";
    return this.#prng.pick(["request lost", "answer lost", "late"]);
  }

  #send(sent: Sent): void {
    const { fate } = sent;
    const late = fate === "late" ? TIMEOUT_MS + this.#prng.unit() * LATE_MS_MAX : 0;
    const hop = this.#prng.unit() * HOP_MS_MAX;
    const life = this.#life;
    if (fate === "request lost") this.#after(TIMEOUT_MS, sent.again);
    else this.#after(hop + late, () => this.#arrive(sent, life));
    if (fate === "late") this.#after(TIMEOUT_MS, sent.again);
  }

  #arrive(sent: Sent, life: number): void {
    const { fate, again } = sent;
    if (this.#isDown || life !== this.#life) {
      if (fate !== "late") this.#after(TIMEOUT_MS, again);
      return;
    }
    const reply = this.#handle(sent);
    if (fate === "answered" || fate === "refused") {
      this.#after(this.#prng.unit() * HOP_MS_MAX, () => this.#answer(sent, reply, life));
    } else if (fate === "answer lost") {
      this.#after(TIMEOUT_MS, again);
    }
  }

  #handle({ request, told, fate }: Sent): Reply {
    const isRefused = fate === "refused";
    const isLost = fate === "answer lost" || fate === "late";
    const { lie, calls } = this.#options;
    if (lie !== undefined && this.#sent > calls * LIE_AFTER) {
      const circumstances = { prng: this.#prng, told, isLost, isRefused, now: this.#now };
      const reply = lie.tell(this.#server, request, circumstances);
      if (reply !== undefined) return reply;
    }
    if (isRefused) return { kind: "refused", code: "lease_not_found" };
    if (request.kind === "range" && request.serializable === true) {
      const behind = this.#prng.chance(50) ? 0 : this.#prng.below(6);
      return this.#server.readAt(request, Math.max(this.#server.revision - behind, 1));
    }
    const reply = this.#server.run(request);
    this.#lease(request, reply);
    return reply;
  }

  /** A lease ends some time after it should. */
  #lease(request: Request, reply: Reply): void {
    if (reply.kind !== "grant" && reply.kind !== "renew") return;
    if (reply.ttlSeconds === 0 || !("id" in request)) return;
    const { id } = request;
    const ttlMs = reply.ttlSeconds * 1000;
    this.#server.deadlines.set(id, this.#now + ttlMs);
    this.#after(ttlMs + this.#prng.unit() * 20, () => this.#expire(id));
  }

  #expire(id: string): void {
    const deadline = this.#server.deadlines.get(id) ?? 0;
    if (deadline <= this.#now && this.#server.hasLease(id)) {
      this.#server.run({ kind: "revoke", id });
    }
  }

  #answer({ call, again, fate, request }: Sent, reply: Reply, life: number): void {
    again();
    if (life !== this.#life) return; // lost with the connection
    if (fate === "refused") {
      call.refused("too_many_requests");
      return;
    }
    if (reply.kind === "refused") {
      call.refused(reply.code);
      return;
    }
    if ("revision" in reply && reply.revision !== undefined) {
      this.#told = Math.max(this.#told, reply.revision);
    }
    this.#mix.saw(request, reply);
    call.answered(reply);
  }

  #crashIn(): number {
    return 40 + this.#prng.unit() * 200;
  }

  #crash(): void {
    if (this.#sent >= this.#options.calls) return;
    this.#life++;
    this.#isDown = true;
    this.#after(DOWN_MS, () => {
      this.#isDown = false;
    });
    this.#after(this.#crashIn(), () => this.#crash());
  }
}

type Fate = "answered" | "refused" | "request lost" | "answer lost" | "late";

interface Sent {
  readonly request: Request;
  readonly told: number;
  readonly call: CallRecorder;
  readonly again: () => void;
  readonly fate: Fate;
}
