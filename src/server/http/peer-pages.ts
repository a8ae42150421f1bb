/**
 * What tools ask at the addresses for members (etcd's peer handler, etcdhttp/peer.go): /version and
 * /members. What etcd's members ask each other there, ours ask otherwise; who would not be taken
 * for one is not told who they are. etcd tells everybody.
 */
import type { Authorize } from "../../net/peers/ports.ts";
import type { Member } from "../../proto/gen/etcdserverpb.ts";
import type { HttpRequest } from "../../wire/http1/http.ts";
import { type Endpoints, forbidden, type HttpAnswer, notAllowed } from "../endpoints.ts";

export interface PeerPagesParts {
  readonly endpoints: Pick<Endpoints, "version">;
  readonly clusterId: bigint;
  readonly members: () => readonly Member[];
  /** Who may see them: HTTP has no proof of a secret, so that it is asked with one, too. */
  readonly authorize: Authorize;
}

/** What is looked at of a request. */
type Asked = Pick<HttpRequest, "method" | "path" | "peer" | "peerName">;

export class PeerPages {
  readonly #parts: PeerPagesParts;

  constructor(parts: PeerPagesParts) {
    this.#parts = parts;
  }

  /** Undefined: there is no such page. */
  answer({ method, path, peer, peerName }: Asked): HttpAnswer | undefined {
    if (path !== "/version" && path !== "/members") return undefined;
    if (method !== "GET") return notAllowed("GET");
    const { endpoints, authorize } = this.#parts;
    if (path === "/version") return endpoints.version();
    const refusal = authorize({ address: peer, certificateName: peerName });
    return refusal === undefined ? this.#members() : forbidden(refusal);
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
