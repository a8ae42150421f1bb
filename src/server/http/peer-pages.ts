/**
 * What tools ask at the addresses for members (etcd's peer handler, etcdhttp/peer.go): /version and
 * /members. What etcd's members ask each other there, ours ask otherwise.
 */
import type { Member } from "../../proto/gen/etcdserverpb.ts";
import { type Endpoints, type HttpAnswer, notAllowed } from "../endpoints.ts";

export interface PeerPagesParts {
  readonly endpoints: Pick<Endpoints, "version">;
  readonly clusterId: bigint;
  readonly members: () => readonly Member[];
}

export class PeerPages {
  readonly #parts: PeerPagesParts;

  constructor(parts: PeerPagesParts) {
    this.#parts = parts;
  }

  /** Undefined: there is no such page. */
  answer(method: string, path: string): HttpAnswer | undefined {
    if (path !== "/version" && path !== "/members") return undefined;
    if (method !== "GET") return notAllowed("GET");
    return path === "/version" ? this.#parts.endpoints.version() : this.#members();
  }

  #members(): HttpAnswer {
    const { clusterId, members } = this.#parts;
    const fields = [
      ...["content-type", "application/json"],
      ...["x-etcd-cluster-id", clusterId.toString(16)],
    ];
    return { status: 200, fields, body: `[${members().map(memberJson).join(",")}]\n` };
  }
}

/** As etcd's server writes its members, whose ids are numbers too long for JavaScript's JSON. */
function memberJson({ ID, name, peerURLs, clientURLs, isLearner }: Member): string {
  const rest = {
    peerURLs,
    ...(isLearner ? { isLearner } : {}),
    ...(name === "" ? {} : { name }),
    ...(clientURLs.length === 0 ? {} : { clientURLs }),
  };
  return `{"id":${ID},${JSON.stringify(rest).slice(1)}`;
}
