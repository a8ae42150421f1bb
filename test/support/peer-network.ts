/**
 * What lies between the members of a cluster: nothing (loopback), a proxy before each of them, or
 * a network namespace for each. All three say where members listen and where others find them;
 * the last two can cut ways between them.
 */
import { Prng } from "../../src/base/prng.ts";
import { ownerOf } from "./connection-owner.ts";
import { Namespaces, type Way } from "./netns.ts";
import { Direction, type Route, TcpProxy } from "./proxy.ts";

export interface PeerNetwork extends Disposable {
  /** The address that a member listens on. */
  hostOf(member: number): string;
  /** Words that start a process where the member lives. */
  prefixOf(member: number): readonly string[];
  /** host:port for its peers, given the port on which it listens for them. */
  advertised(member: number, listenPort: number): string;
  /** A member's process, each time it was started. */
  onStarted(member: number, pid: number): void;
  /** Exactly these ways are cut from now on. */
  cut(ways: readonly Way[]): void;
}

export class Loopback implements PeerNetwork {
  hostOf(): string {
    return "127.0.0.1";
  }

  prefixOf(): readonly string[] {
    return [];
  }

  advertised(_member: number, listenPort: number): string {
    return `127.0.0.1:${listenPort}`;
  }

  onStarted(): void {}

  cut(): void {
    throw new Error("loopback cannot be cut: start the cluster with proxies or namespaces");
  }

  [Symbol.dispose](): void {}
}

/**
 * One proxy before each member. All peers find a member at the same address, so the proxy asks the
 * kernel which member's process has made a connection (connection-owner.ts) and takes the two
 * Directions between these two, which all their connections share, whoever made them.
 */
export class Proxied implements PeerNetwork {
  readonly #random: Prng;
  /** By member and listening port: a number may be given again, to a member at another port. */
  readonly #proxies = new Map<string, TcpProxy>();
  readonly #pids = new Map<number, number>();
  readonly #directions = new Map<string, Direction>();

  constructor(seed: number) {
    this.#random = new Prng(seed);
  }

  hostOf(): string {
    return "127.0.0.1";
  }

  prefixOf(): readonly string[] {
    return [];
  }

  advertised(member: number, listenPort: number): string {
    const key = `${member}:${listenPort}`;
    const known = this.#proxies.get(key);
    if (known !== undefined) return `127.0.0.1:${known.port}`;
    const target = { hostname: "127.0.0.1", port: listenPort };
    const proxy: TcpProxy = new TcpProxy({
      target,
      route: (remotePort) => this.#route(member, remotePort, proxy.port),
    });
    this.#proxies.set(key, proxy);
    return `127.0.0.1:${proxy.port}`;
  }

  onStarted(member: number, pid: number): void {
    this.#pids.set(member, pid);
  }

  /** The way from one member to another, to be made bad. */
  direction(from: number, to: number): Direction {
    const key = `${from}>${to}`;
    const known = this.#directions.get(key);
    if (known !== undefined) return known;
    const direction = new Direction(this.#random);
    this.#directions.set(key, direction);
    return direction;
  }

  cut(ways: readonly Way[]): void {
    for (const direction of this.#directions.values()) {
      if (direction.conditions.cut) direction.set({ cut: false });
    }
    for (const { from, to } of ways) this.direction(from, to).set({ cut: true });
  }

  /** All ways are good again. */
  heal(): void {
    for (const direction of this.#directions.values()) direction.heal();
  }

  /** Breaks off every connection between two members. */
  reset(one: number, other: number): void {
    for (const proxy of this.#proxies.values()) proxy.reset(this.direction(one, other));
  }

  [Symbol.dispose](): void {
    for (const proxy of this.#proxies.values()) proxy[Symbol.dispose]();
  }

  #route(to: number, remotePort: number, port: number): Route | undefined {
    const pid = ownerOf(remotePort, port, [...this.#pids.values()]);
    const [from] = [...this.#pids].find(([, each]) => each === pid) ?? [];
    if (from === undefined) return undefined;
    return { there: this.direction(from, to), back: this.direction(to, from) };
  }
}

/** A network namespace for each member; more than the cluster begins with may be had. */
export class Namespaced implements PeerNetwork {
  readonly #hosts: Namespaces;

  constructor(members: number) {
    this.#hosts = new Namespaces(members);
  }

  hostOf(member: number): string {
    return this.#hosts.addressOf(member);
  }

  prefixOf(member: number): readonly string[] {
    return this.#hosts.prefixOf(member);
  }

  advertised(member: number, listenPort: number): string {
    return `${this.hostOf(member)}:${listenPort}`;
  }

  onStarted(): void {}

  cut(ways: readonly Way[]): void {
    this.#hosts.cut(ways);
  }

  [Symbol.dispose](): void {
    this.#hosts[Symbol.dispose]();
  }
}
