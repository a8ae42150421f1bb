/** One member of a cluster of real processes: what can be done to it, and what it says. */
import { existsSync, rmSync } from "node:fs";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { Maintenance } from "../../src/proto/gen/etcdserverpb.ts";
import type { MethodType } from "../../src/proto/message.ts";
import type { MemberConfig } from "./member-command.ts";
import type { ServerProcess } from "./processes.ts";

/** A question to one member: it answers at once, but the machine may be busy. */
const ASK_MS_MAX = 5000;

/** What a member says of itself and of the cluster. */
export interface MemberStatus {
  readonly member: Member;
  readonly id: bigint;
  readonly clusterId: bigint;
  /** 0: it knows none. */
  readonly leader: bigint;
  readonly term: number;
  readonly index: number;
  readonly applied: number;
  readonly revision: number;
  readonly isLearner: boolean;
  readonly version: string;
}

export class Member {
  readonly number: number;
  readonly name: string;
  /** host:port for clients. */
  readonly endpoint: string;
  /** http://host:port, as the other members know it. */
  readonly peerUrl: string;
  readonly process: ServerProcess;
  readonly #onStarted: (pid: number) => void;
  #paused = false;

  constructor(config: MemberConfig, server: ServerProcess, onStarted: (pid: number) => void) {
    this.number = config.number;
    this.name = config.name;
    this.endpoint = config.clientAddress;
    this.peerUrl = `http://${config.advertisedPeerAddress}`;
    this.process = server;
    this.#onStarted = onStarted;
  }

  /** It runs and is not paused. */
  get isUp(): boolean {
    return this.process.pid !== undefined && !this.#paused;
  }

  get isPaused(): boolean {
    return this.#paused;
  }

  /** Starts it and does not wait. */
  async launch(): Promise<void> {
    this.#paused = false;
    await this.process.launch();
    if (this.process.pid !== undefined) this.#onStarted(this.process.pid);
  }

  /** Starts it (again) and waits until it serves; throws with the end of its log if it does not. */
  async restart(): Promise<void> {
    await this.launch();
    await this.process.ready();
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.#paused = false;
    await this.process.kill();
  }

  /** SIGTERM, and SIGKILL if it has not ended after ten seconds. */
  async stop(): Promise<void> {
    this.resume();
    await this.process.stop();
  }

  /** SIGSTOP: it does nothing and its connections stay open. */
  pause(): void {
    this.process.signal("SIGSTOP");
    this.#paused = this.process.pid !== undefined;
  }

  resume(): void {
    this.process.signal("SIGCONT");
    this.#paused = false;
  }

  /** Removes what it has on disk; it must not run. */
  wipe(): void {
    if (this.process.pid !== undefined) throw new Error(`${this.name} runs`);
    rmSync(this.process.dataDir, { recursive: true, force: true });
  }

  get hasData(): boolean {
    return existsSync(this.process.dataDir);
  }

  /** One call to this member, over a connection of its own. */
  async ask<Request, Response>(
    method: MethodType<Request, Response>,
    request: Partial<Request> = {},
    timeoutMs = ASK_MS_MAX,
  ): Promise<Response> {
    const client = new EtcdClient({ endpoints: [this.endpoint], timeoutMs });
    try {
      return await client.channel.call(method, method.request.create(request), { timeoutMs });
    } finally {
      client.close();
    }
  }

  async status(timeoutMs = ASK_MS_MAX): Promise<MemberStatus> {
    const said = await this.ask(Maintenance.Status, {}, timeoutMs);
    return {
      member: this,
      id: said.header?.memberId ?? 0n,
      clusterId: said.header?.clusterId ?? 0n,
      leader: said.leader,
      term: said.raftTerm,
      index: said.raftIndex,
      applied: said.raftAppliedIndex,
      revision: said.header?.revision ?? 0,
      isLearner: said.isLearner,
      version: said.version,
    };
  }
}
