/**
 * What two runs of a session can never have in common (ids that are drawn, ports, times, sizes of
 * files) gets a name, so that the rest can be compared byte for byte.
 */
import type { Said } from "./step.ts";

export class Names {
  /** What a placeholder of a step stands for. */
  readonly #meant: Map<string, string>;
  /** Texts that are replaced in answers, and by what. */
  readonly #known: [text: string, name: string][] = [];
  #leases = 0;

  constructor(given: Readonly<Record<string, string>>) {
    this.#meant = new Map(Object.entries(given));
    for (const [name, text] of this.#meant) this.#known.push([text, name.toUpperCase()]);
  }

  /** The word with its placeholders filled in. */
  fill(word: string): string {
    return word.replace(/\{(\w+)\}/g, (whole, name: string) => this.#meant.get(name) ?? whole);
  }

  /** Learns the names of what was said, and says it with them. */
  settle(said: Said): Said {
    this.#learn(said.stdout);
    return {
      stdout: this.#plain(said.stdout),
      stderr: this.#plain(errorLines(said.stderr)),
      status: said.status,
    };
  }

  #learn(text: string): void {
    for (const [, id] of text.matchAll(/^lease ([0-9a-f]{16}) granted with TTL/gm)) {
      this.#lease(BigInt(`0x${id}`));
    }
    for (const [, id] of text.matchAll(/"ID":(\d{10,}),"TTL":\d+,"Error"/g)) {
      this.#lease(BigInt(id as string));
    }
    for (const [, id] of text.matchAll(/^"ID" : (\d{10,})\n"TTL" : \d+\n$/gm)) {
      this.#lease(BigInt(id as string));
    }
    // The key of a lock or candidate ends with the lease that it has.
    for (const [, id] of text.matchAll(/^(?:lock|election)\/([0-9a-f]{8,16})$/gm)) {
      this.#lease(BigInt(`0x${id}`));
    }
    for (const [, id] of text.matchAll(/^Member +([0-9a-f]+) added /gm)) {
      this.#name("added", BigInt(`0x${id}`));
    }
    for (const [, id] of text.matchAll(/"member":\{"ID":(\d+)/g)) {
      this.#name("added", BigInt(id as string));
    }
    for (const [, id] of text.matchAll(/^([0-9a-f]{12,16}), started, test, /gm)) {
      this.#name("member", BigInt(`0x${id}`));
    }
  }

  #lease(id: bigint): void {
    const hex = id.toString(16);
    if (this.#known.some(([text]) => text === hex)) return;
    this.#leases++;
    this.#name(`lease${this.#leases}`, id);
  }

  #name(name: string, id: bigint): void {
    const hex = id.toString(16);
    this.#meant.set(name, hex);
    const shown = name.toUpperCase();
    const texts = [id.toString(), hex, hex.padStart(16, "0"), hex.padStart(16, " ")];
    for (const text of texts) this.#known.unshift([text, shown]);
  }

  #plain(text: string): string {
    let result = text;
    for (const [known, name] of this.#known) result = result.replaceAll(known, name);
    return (
      statuses(result)
        .replace(/remaining\(\d+s\)/g, "remaining(s)")
        // Members come by id, and the ids of new ones are drawn.
        .replace(/(?<="members":\[).*(?=\]\})/g, (all) =>
          all
            .split(/,(?=\{"ID")/)
            .sort()
            .join(","),
        )
        .replace(/(?<=ETCD_INITIAL_CLUSTER=")[^"]*/g, (all) => all.split(",").sort().join(","))
        // The order of a map of Go's.
        .replace(/(?<=attached keys\(\[)[^\]]*/g, (keys) => keys.split(" ").sort().join(" "))
        .replace(/(?<="keys":\[)[^\]]*/g, (keys) => keys.split(",").sort().join(","))
        .replace(/^(?:"Key" : .*\n)+/gm, (keys) => `${keys.trim().split("\n").sort().join("\n")}\n`)
        .replace(/("ttl":|"TTL" : )\d+/g, "$1TTL")
        .replace(/\d+(\.\d+)?(ms|µs|Âµs|s)\b/g, "TIME")
    );
  }
}

/** Sizes of files and numbers of log entries, which differ from engine to engine. */
function statuses(text: string): string {
  const plain = text
    .replace(/("(?:dbSize|dbSizeInUse|raftIndex|raftAppliedIndex)":)\d+/g, "$1N")
    .replace(/("(?:DBSize|DBSizeInUse|RaftIndex|RaftAppliedIndex)" : )\d+/g, "$1N")
    .replace(/\b\d+(\.\d+)? kB\b/g, "SIZE")
    .replace(/\b\d+%/g, "PERCENT")
    // Members agree on a downgrade beside us, a while after it was asked for.
    .replace(/((?:cancel success, cluster version )|(?:\},"version":"))3\.[67](?=["\n])/g, "$13.N")
    .replace(/((?:true|false), \d+), \d+, \d+, /g, "$1, N, N, ");
  return /RAFT INDEX|TOOK/.test(text) ? withoutWidths(plain) : plain;
}

/** A table (its bytes as Latin-1) whose columns are as wide as what stands in them. */
function withoutWidths(table: string): string {
  return table
    .replace(/(?:\xe2\x94\x80|-)+/g, "-")
    .replace(/\d+(\.\d+)?(ms|Âµs|s)\b/g, "TIME")
    .replace(
      /((?:true|false) +\xe2\x94\x82 +\d+) +\xe2\x94\x82 +\d+ +\xe2\x94\x82 +\d+ /g,
      "$1 N N ",
    )
    .replace(/ +/g, " ");
}

/** What a client logs, and the help that it shows unasked, are not compared: its errors are. */
function errorLines(stderr: string): string {
  const [said = ""] = stderr.split(/^(?:Usage:|Run '.*' for usage\.)$/m);
  const lines = said
    .split("\n")
    .filter((line) => !/^\{"level"|^\d{4}[/-]|^aether ctl: /.test(line));
  const text = lines.join("\n").trim();
  return text === "" ? "" : `${text}\n`;
}
