/**
 * One server of a pair: fills in what a step left open, sends it, keeps what later steps refer to.
 */

import type { Point, SentCall } from "./differences.ts";
import { Identities } from "./identities.ts";
import { type Answer, RawClient } from "./raw-client.ts";
import type { TreeMessage } from "./schema.ts";
import type { Call, Open, Value, WatchBody } from "./steps.ts";
import { type FilledWatch, SideWatches } from "./watches.ts";

/** The name of root's token in generated steps (generate/users.ts). */
const ROOT_TOKEN = "token-root";

export interface SideOptions {
  /** For reports. */
  readonly name: string;
  /** host:port of clients. */
  readonly address: string;
  /** What it calls itself, with its ports. */
  readonly clientUrl: string;
  readonly peerUrl: string;
}

export class Side {
  readonly name: string;
  readonly client: RawClient;
  readonly watches: SideWatches;
  readonly identities: Identities;
  readonly #own: Record<"member" | "peerUrl", string>;
  readonly #saved = new Map<string, TreeMessage>();
  readonly #waiting = new Set<string>();
  readonly #begun = new Map<string, { sent: SentCall; answer: Promise<Answer> }>();

  constructor({ name, address, clientUrl, peerUrl }: SideOptions) {
    this.name = name;
    this.client = new RawClient(address);
    this.watches = new SideWatches(this.client);
    this.identities = new Identities({ "<client>": clientUrl, "<peer>": peerUrl });
    this.#own = { member: "0", peerUrl };
  }

  /** Learns what this server is called. */
  async open(): Promise<void> {
    const { messages } = await this.client.call({ rpc: "Cluster/MemberList", bodies: [{}] });
    const header = messages[0]?.header as TreeMessage | undefined;
    this.#own.member = String(header?.memberId ?? "0");
    await this.watches.open(1);
  }

  /** Sends a call; the request as it was sent comes with the answer. */
  async send(call: Call, point: Point): Promise<{ sent: SentCall; answer: Answer }> {
    const sent = this.#filled(call, point);
    const answer = await this.#call(sent);
    this.#keep(call, answer);
    const token = call.save === ROOT_TOKEN ? answer.messages[0]?.token : undefined;
    if (token !== undefined) await this.watches.goOn(String(token), point.revision);
    return { sent, answer };
  }

  /** Sends a call that waits for another; finish() takes its answer. */
  begin(name: string, call: Call, point: Point): void {
    const sent = this.#filled(call, point);
    const answer = this.#call(sent);
    this.#begun.set(name, { sent, answer });
    const forget = (): void => void this.#waiting.delete(name);
    this.#waiting.add(name);
    answer.then(forget, forget);
  }

  /** Whether what was begun has no answer yet. */
  waits(name: string): boolean {
    return this.#waiting.has(name);
  }

  async finish(name: string, call: Call): Promise<{ sent: SentCall; answer: Answer }> {
    const begun = this.#begun.get(name);
    if (begun === undefined) throw new Error(`nothing was begun as ${name}`);
    const answer = await begun.answer;
    this.#keep(call, answer);
    return { sent: begun.sent, answer };
  }

  filledWatch(body: WatchBody, point: Point): FilledWatch {
    const startRevision = Number(this.#fill(body.startRevision as Value, point));
    return { ...body, startRevision };
  }

  close(): void {
    this.watches.close();
    this.client.close();
  }

  #call({ token, metadata, ...sent }: SentCall): Promise<Answer> {
    const given = token === undefined ? undefined : this.#saved.get(token)?.token;
    const all = given === undefined ? metadata : { ...metadata, token: String(given) };
    return this.client.call({ ...sent, metadata: all });
  }

  #keep({ save }: Call, { messages }: Answer): void {
    if (save !== undefined && messages[0] !== undefined) this.#saved.set(save, messages[0]);
  }

  #filled(call: Call, point: Point): SentCall {
    const bodies = call.bodies.map((body) => this.#fill(body, point) as TreeMessage);
    return { ...call, bodies };
  }

  #fill(value: Value, point: Point): unknown {
    if (Array.isArray(value)) return value.map((one) => this.#fill(one, point));
    if (typeof value !== "object") return value;
    if ("$" in value) return this.#meaning(value as Open, point);
    return Object.fromEntries(
      Object.entries(value).map(([name, one]) => [name, this.#fill(one, point)]),
    );
  }

  #meaning(symbol: Open, { revision, compactRevision }: Point): unknown {
    switch (symbol.$) {
      case "revision":
      case "compact": {
        const base = symbol.$ === "revision" ? revision : compactRevision;
        return Math.max(base + symbol.plus, symbol.min ?? Number.NEGATIVE_INFINITY);
      }
      case "between": {
        const past = Math.max(compactRevision - 2, 1);
        return past + Math.floor(symbol.share * (revision + 4 - past));
      }
      case "own":
        return this.#own[symbol.what];
      case "saved":
        return this.#savedAt(symbol.name, symbol.path) ?? symbol.otherwise;
    }
  }

  #savedAt(name: string, path: string): unknown {
    let value: unknown = this.#saved.get(name);
    for (const part of path.split(".")) value = (value as TreeMessage | undefined)?.[part];
    return value;
  }
}
