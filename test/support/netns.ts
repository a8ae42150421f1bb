/**
 * Network namespaces: each host has a namespace, an address and a cable to one switch of its own,
 * and the kernel drops what must not arrive. A second, independent proof beside the proxy: here a
 * cut also loses the acknowledgements, connections time out as on a real network, and nothing of
 * ours stands between the members.
 *
 *   this process ── 10.x.y.254 ┐
 *   host 1       ── 10.x.y.1   ├─ bridge
 *   host 2       ── 10.x.y.2   ┘
 *
 * Needs root, iproute2 and nftables: whyNot() says what is missing. Cables of this process are
 * never cut, so clients and the control of a test reach every host.
 */
import { existsSync, readdirSync } from "node:fs";
import { networkInterfaces } from "node:os";

/** Names of namespaces, bridges and cables begin with this, then the pid of who made them. */
const PREFIX = "aet";
/** Interface names have 15 characters at most, a pid up to 7: one digit for the host. */
const HOSTS_MAX = 9;
/** Subnets 10.231.0.0/24 to 10.231.255.0/24. */
const NETWORK = "10.231";

function run(command: readonly string[], input = ""): void {
  const { exitCode, stderr } = Bun.spawnSync([...command], { stdin: Buffer.from(input) });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString().trim()}`);
}

/** Why namespaces cannot be had here, or undefined. */
export function whyNot(): string | undefined {
  if (process.platform !== "linux") return "network namespaces are Linux's";
  if (process.getuid?.() !== 0) return "network namespaces need root";
  const name = `${PREFIX}${process.pid}-try`;
  try {
    run(["ip", "netns", "add", name]);
    run(["ip", "netns", "exec", name, "nft", "add", "table", "inet", "try"]);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  } finally {
    if (existsSync(`/run/netns/${name}`)) run(["ip", "netns", "del", name]);
  }
}

/** One way between two hosts, by their numbers. */
export interface Way {
  readonly from: number;
  readonly to: number;
}

export class Namespaces implements Disposable {
  readonly size: number;
  readonly #subnet: string;
  readonly #bridge: string;

  /** Makes hosts 1 to `size`, all of which reach each other. Throws when that cannot be done. */
  constructor(size: number) {
    if (size > HOSTS_MAX) throw new Error(`at most ${HOSTS_MAX} hosts`);
    removeLeftovers();
    this.size = size;
    this.#bridge = freeBridge();
    this.#subnet = freeSubnet();
    process.on("exit", this.#dispose);
    try {
      run(["ip", "link", "add", this.#bridge, "type", "bridge"]);
      run(["ip", "addr", "add", `${this.#subnet}.254/24`, "dev", this.#bridge]);
      run(["ip", "link", "set", this.#bridge, "up"]);
      for (let host = 1; host <= size; host++) this.#addHost(host);
    } catch (error) {
      this.#dispose();
      throw error;
    }
  }

  addressOf(host: number): string {
    return `${this.#subnet}.${host}`;
  }

  /** Words that start a command on a host; its pid is the command's own. */
  prefixOf(host: number): string[] {
    return ["ip", "netns", "exec", this.#namespaceOf(host)];
  }

  /** Exactly these ways are cut from now on; none: all are healed. */
  cut(ways: readonly Way[]): void {
    for (let host = 1; host <= this.size; host++) {
      const senders = ways.filter(({ to }) => to === host).map(({ from }) => this.addressOf(from));
      const drop = `add rule inet cut input ip saddr { ${senders.join(", ")} } drop`;
      const script = ["flush chain inet cut input", ...(senders.length === 0 ? [] : [drop])];
      this.#nft(host, `${script.join("\n")}\n`);
    }
  }

  [Symbol.dispose](): void {
    process.off("exit", this.#dispose);
    this.#dispose();
  }

  #namespaceOf(host: number): string {
    return `${this.#bridge}-${host}`;
  }

  #nft(host: number, script: string): void {
    run([...this.prefixOf(host), "nft", "-f", "-"], script);
  }

  #addHost(host: number): void {
    const namespace = this.#namespaceOf(host);
    const cable = `${this.#bridge}c${host}`;
    run(["ip", "netns", "add", namespace]);
    run(["ip", "-n", namespace, "link", "set", "lo", "up"]);
    const peer = ["type", "veth", "peer", "name", "eth0", "netns", namespace];
    run(["ip", "link", "add", cable, ...peer]);
    run(["ip", "link", "set", cable, "master", this.#bridge, "up"]);
    run(["ip", "-n", namespace, "addr", "add", `${this.addressOf(host)}/24`, "dev", "eth0"]);
    run(["ip", "-n", namespace, "link", "set", "eth0", "up"]);
    const chain = "type filter hook input priority 0; policy accept;";
    this.#nft(host, `table inet cut {\n chain input { ${chain} }\n}\n`);
  }

  readonly #dispose = (): void => {
    removeAll((name) => name.startsWith(this.#bridge));
  };
}

function freeBridge(): string {
  for (let i = 0; ; i++) {
    const name = `${PREFIX}${process.pid}-${i}x`;
    if (!existsSync(`/sys/class/net/${name}`)) return name;
  }
}

function namespaces(): string[] {
  return existsSync("/run/netns") ? readdirSync("/run/netns") : [];
}

/** Cables first: those of a namespace that is deleted go some time later. */
function removeAll(isGoing: (name: string) => boolean): void {
  for (const name of readdirSync("/sys/class/net").filter(isGoing))
    run(["ip", "link", "del", name]);
  for (const name of namespaces().filter(isGoing)) run(["ip", "netns", "del", name]);
}

/** A runner that was killed could not clean up: what belongs to no living pid goes. */
function removeLeftovers(): void {
  removeAll((name) => {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`);
  });
}

/** Of another runner's subnets none is taken, whose bridge is an interface of this host. */
function freeSubnet(): string {
  const taken = new Set(
    Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)),
  );
  for (let i = 0; i < 256; i++) {
    const subnet = `${NETWORK}.${(process.pid + i) % 256}`;
    if (!taken.has(`${subnet}.254`)) return subnet;
  }
  throw new Error(`no free subnet in ${NETWORK}.0.0/16`);
}
