/**
 * Runs the same command with etcdctl 3.4 and with our client, each against an etcd of its own that
 * went through the same commands, and makes what must differ (ids, ports, times) equal.
 */

import { runCtl } from "../../src/cli/ctl/ctl.ts";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import {
  AlarmAction,
  type AlarmType,
  Cluster,
  Maintenance,
  MemberListRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { type ServerProcess, startEtcd, until } from "../support/processes.ts";
import { FakeIo, runFake } from "./fake-io.ts";

export const ETCDCTL = "/usr/bin/etcdctl";

/** Everything here answers at once; what does not is not waited for. */
const SAY_MS_MAX = 4_000;

export interface Step {
  /**
   * `{lease}` stands for the lease granted last on that side, `{endpoint}` for its server,
   * `{member}` for its member and `{added}` for the member added last.
   */
  readonly words: readonly string[];
  readonly stdin?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** For commands that go on: they are interrupted after so many lines. */
  readonly lines?: number;
  /** Reads only, of the first server, so that even ids are equal. */
  readonly sameServer?: boolean;
}

export interface Said {
  readonly stdout: string;
  readonly stderr: string;
  /** undefined: it was interrupted by us. */
  readonly status: number | undefined;
}

interface Side {
  readonly server: ServerProcess;
  readonly ids: readonly (readonly [string, string])[];
  readonly member: bigint;
  lease: string;
  added: bigint;
}

export class Pair implements AsyncDisposable {
  readonly #theirs: Side;
  readonly #ours: Side;

  private constructor(theirs: Side, ours: Side) {
    this.#theirs = theirs;
    this.#ours = ours;
  }

  static async start(): Promise<Pair> {
    return new Pair(...(await Promise.all([startSide(), startSide()])));
  }

  async etcdctl(step: Step): Promise<Said> {
    const side = this.#theirs;
    const child = Bun.spawn([ETCDCTL, ...wordsFor(side, step)], {
      stdin: new Blob([step.stdin ?? ""]),
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, ETCDCTL_API: "3", ...environmentFor(side, step) },
    });
    const killer = setTimeout(() => child.kill("SIGKILL"), SAY_MS_MAX);
    const stderr = new Response(child.stderr).text();
    let stdout = "";
    let interrupted = false;
    for await (const chunk of child.stdout) {
      stdout += Buffer.from(chunk).latin1Slice();
      if (step.lines === undefined || countLines(stdout) < step.lines) continue;
      interrupted = true;
      child.kill("SIGKILL");
    }
    const status = await child.exited;
    clearTimeout(killer);
    const text = firstLines(stdout, step.lines);
    const end = interrupted ? undefined : status;
    return settle(side, { stdout: text, stderr: await stderr, status: end });
  }

  async ctl(step: Step): Promise<Said> {
    const side = step.sameServer === true ? this.#theirs : this.#ours;
    const environment = environmentFor(side, step);
    const stdin = step.stdin ?? "";
    const words = wordsFor(side, step);
    if (step.lines !== undefined) {
      const interrupt = new AbortController();
      const io = new FakeIo({ stdin, environment, interrupt });
      const status = runCtl(words, io);
      const enough = (): boolean => countLines(io.stdout.latin1Slice()) >= (step.lines ?? 0);
      await until(`${words.join(" ")} said ${step.lines} lines`, enough, SAY_MS_MAX);
      interrupt.abort();
      await status;
      const stdout = firstLines(io.stdout.latin1Slice(), step.lines);
      return settle(side, { stdout, stderr: io.stderr, status: undefined });
    }
    const { stdout, stderr, status } = await runFake(words, { stdin, environment });
    return settle(side, { stdout: stdout.latin1Slice(), stderr, status });
  }

  /** Raises an alarm of each server for itself. */
  async raise(alarm: AlarmType): Promise<void> {
    for (const { server, member: memberID } of [this.#theirs, this.#ours]) {
      const client = new EtcdClient({ endpoints: [server.endpoint] });
      const request = { action: AlarmAction.ACTIVATE, memberID, alarm };
      await client.channel.call(Maintenance.Alarm, request);
      client.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#theirs.server[Symbol.asyncDispose]();
    await this.#ours.server[Symbol.asyncDispose]();
  }
}

/** A server whose ids have all their digits: a column is as wide on one side as on the other. */
async function startSide(): Promise<Side> {
  for (;;) {
    const side = await sideOf(await startEtcd());
    const hex = side.ids.map(([text]) => text).filter((text) => /^[0-9a-f]{1,16}$/.test(text));
    if (hex.every((text) => text.length === 16)) return side;
    await side.server[Symbol.asyncDispose]();
  }
}

async function sideOf(server: ServerProcess): Promise<Side> {
  const client = new EtcdClient({ endpoints: [server.endpoint] });
  const { header, members } = await client.channel.call(
    Cluster.MemberList,
    MemberListRequest.create(),
  );
  client.close();
  const ids: [string, string][] = [[server.endpoint, "ENDPOINT"]];
  const [member] = members;
  for (const url of member?.peerURLs ?? []) ids.push([url, "PEER"]);
  for (const [id, name] of [
    [header?.clusterId, "CLUSTER"],
    [member?.ID, "MEMBER"],
  ] as const) {
    if (id !== undefined) ids.push([id.toString(), name], [id.toString(16), name]);
  }
  return { server, ids, member: member?.ID ?? 0n, lease: "0", added: 0n };
}

function wordsFor(side: Side, step: Step): string[] {
  // The runner kills what a test that took too long had started: fail at once, not by waiting.
  if (side.server.pid === undefined) throw new Error("the server is gone");
  return step.words.map((word) =>
    word
      .replace("{lease}", side.lease)
      .replace("{endpoint}", side.server.endpoint)
      .replace("{member}", side.member.toString(16))
      .replace("{added}", side.added.toString(16)),
  );
}

function environmentFor(side: Side, step: Step): Record<string, string> {
  const inWords = step.words.some((word) => word.startsWith("--endpoints"));
  const own = inWords ? {} : { ETCDCTL_ENDPOINTS: side.server.endpoint };
  return { ...own, ...step.environment };
}

function countLines(text: string): number {
  return text.split("\n").length - 1;
}

/** More may have come before the interruption. */
function firstLines(text: string, count: number | undefined): string {
  return count === undefined ? text : text.split("\n").slice(0, count).join("\n");
}

/** Remembers a lease that was granted, a member that was added; makes both sides comparable. */
function settle(side: Side, said: Said): Said {
  const granted = /^lease ([0-9a-f]{16}) granted with TTL\(\d+s\)$/m.exec(said.stdout)?.[1];
  if (granted !== undefined) side.lease = granted;
  const json = /"ID":(\d+),"TTL":\d+,"Error"/.exec(said.stdout)?.[1];
  if (json !== undefined) side.lease = BigInt(json).toString(16);
  const hex = /^Member +([0-9a-f]+) added /m.exec(said.stdout)?.[1];
  if (hex !== undefined) side.added = BigInt(`0x${hex}`);
  const decimal = /"member":\{"ID":(\d+)/.exec(said.stdout)?.[1];
  if (decimal !== undefined) side.added = BigInt(decimal);
  return {
    ...said,
    stdout: plain(side, said.stdout),
    stderr: plain(side, errorLines(said.stderr)),
  };
}

function plain(side: Side, text: string): string {
  let result = text;
  for (const [id, name] of side.ids) result = result.replaceAll(id, name);
  if (side.lease !== "0") {
    const decimal = BigInt(`0x${side.lease}`).toString();
    result = result.replaceAll(side.lease, "LEASE").replaceAll(decimal, "LEASE");
  }
  if (side.added !== 0n) {
    const hex = side.added.toString(16);
    for (const id of [hex.padStart(16), hex, String(side.added)]) {
      result = result.replaceAll(id, "ADDED");
    }
  }
  return membersInOrder(result)
    .replace(/remaining\(\d+s\)/g, "remaining(s)")
    .replace(/("ttl":|"TTL" : )\d+/g, "$1TTL")
    .replace(/\d+(\.\d+)?(ms|µs|Âµs|s)\b/g, "TIME");
}

/** Servers list members by id, and new ids are drawn: whoever comes first is no difference. */
function membersInOrder(text: string): string {
  const sorted = (list: string, separator: RegExp, glue: string): string =>
    list.split(separator).sort().join(glue);
  return text
    .replace(/(?<="members":\[).*(?=\]\})/, (all) => sorted(all, /,(?=\{"ID")/, ","))
    .replace(/(?<=ETCD_INITIAL_CLUSTER=")[^"]*/, (all) => sorted(all, /,/, ","))
    .replace(/^"ID" : .*\n\n/ms, (all) => `${sorted(all.slice(0, -2), /\n\n/, "\n\n")}\n\n`)
    .replace(/^(?:\w+, (?:un)?started, .*\n)+/m, (all) => `${sorted(all.trim(), /\n/, "\n")}\n`);
}

/** What etcdctl logs and how it explains usage is not compared, only what it calls an error. */
function errorLines(stderr: string): string {
  const lines = stderr
    .split("\n")
    .filter((line) => line !== "" && !/^[{]"level"|^\d{4}-|^aether ctl: /.test(line));
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}
