/**
 * What every HTTP request passes before anything answers it (etcd's access control,
 * server/embed/serve.go), and who answers:
 *
 *   all        host and origin allowed?
 *   clients    CORS ─▶ OPTIONS ─▶ /v3/ gateway, /debug/, endpoints, members' pages
 *   observers  endpoints without /version
 *   peers      /version, /members
 *
 * Limits of requests stand in wire/http1 and in gateway/; here a request is whole.
 */
import type { Clock } from "../../base/ports.ts";
import { GATEWAY_PREFIX, type JsonGateway } from "../../gateway/json/gateway.ts";
import type { HttpService } from "../../wire/grpc/grpc-server.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "../../wire/http1/http.ts";
import { type Endpoints, forbidden, type HttpAnswer, NOT_FOUND } from "../endpoints.ts";
import { type Access, corsFields, refusalOf } from "./access.ts";
import { cleanTarget } from "./clean-path.ts";
import type { DebugPages } from "./debug.ts";
import type { PeerPages } from "./peer-pages.ts";

export interface FrontParts extends Access {
  readonly endpoints: Endpoints;
  /** Undefined: --enable-grpc-gateway=false. */
  readonly gateway: JsonGateway | undefined;
  readonly debug: DebugPages;
  readonly peerPages: PeerPages;
  /** Members come to the clients' addresses. */
  readonly isShared: boolean;
  /** Certificates say who a client is, and users count: the gateway would not see who asks. */
  readonly namesCount: () => boolean;
  /** Users are on: who has not said which he is is not told who the members are
   * (CVE-2026-33413). */
  readonly usersCount: () => boolean;
  readonly clock: Pick<Clock, "wallMs">;
  /** Bytes of a body; see gateway/json. */
  readonly bodyBytesMax: number;
}

/** The oldest prefix of etcd's gateway, still taken for the present one. */
const BETA_PREFIX = "/v3beta/";

const MS_PER_S = 1000;

/** For who sends a certificate where the gateway would pass over its name. */
const NAME_IGNORED =
  "users are on, and the JSON gateway does not take the name in a client's certificate for one:\n" +
  "send a certificate without a common name, and a token in Authorization\n";

/** What tells of the members, or as much as they know of each other. */
const TELLING: ReadonlySet<string> = new Set(["/cluster", "/members", "/debug/vars"]);

const USERS_ON =
  "users are on, and this page does not ask who you are: ask for MemberList with a token, or at " +
  "the address for metrics";

const TEXT = ["content-type", "text/plain; charset=utf-8", "x-content-type-options", "nosniff"];

export class HttpFront {
  /** At the addresses for clients. */
  readonly clients: HttpService;
  readonly observers: HttpService;
  readonly peers: HttpService;
  /** Requests under a name or from an origin that may not ask. */
  refusedCount = 0;
  /** Who sent the last of them; "": nobody. */
  refusedPeer = "";
  readonly #parts: FrontParts;
  #date = "";
  #dateSecond = -1;

  constructor(parts: FrontParts) {
    this.#parts = parts;
    const { bodyBytesMax, endpoints, peerPages } = parts;
    const observer: HttpHandler = (request, response) => {
      const { method, path, query } = request;
      this.#begin(response);
      if (this.#refusesStranger(request, response)) return;
      const respond = (answer: HttpAnswer): void => answerWith(response, answer);
      if (!endpoints.handleObserver(method, path, query, respond)) respond(NOT_FOUND);
    };
    const peer: HttpHandler = (request, response) => {
      this.#begin(response);
      if (this.#refusesStranger(request, response)) return;
      answerWith(response, peerPages.answer(request) ?? NOT_FOUND);
    };
    this.observers = { handler: observer, bodyBytesMax };
    this.peers = { handler: peer, bodyBytesMax };
    this.clients = {
      handler: (request, response) => this.#onRequest(request, response),
      bodyBytesMax,
      streams: (given, response) => {
        const request = asCurrent(given);
        if (this.#parts.gateway?.isStream(request) !== true) return undefined;
        return this.#admits(request, response)
          ? this.#parts.gateway.open(request, response)
          : DROPPED;
      },
    };
  }

  /** What every answer has. */
  #begin(response: HttpResponse): void {
    const now = this.#parts.clock.wallMs();
    const second = Math.floor(now / MS_PER_S);
    if (second !== this.#dateSecond) {
      this.#dateSecond = second;
      this.#date = new Date(now).toUTCString();
    }
    response.addFields(["date", this.#date]);
  }

  #onRequest(given: HttpRequest, response: HttpResponse): void {
    const request = asCurrent(given);
    if (!this.#admits(request, response)) return;
    const { method, path, query } = request;
    const { endpoints, gateway, debug, peerPages, isShared } = this.#parts;
    const target = cleanTarget(path, query, gateway !== undefined);
    if (target !== undefined) {
      redirect(method, target, response);
    } else if (gateway !== undefined && path.startsWith(GATEWAY_PREFIX)) {
      gateway.handle(request, response);
    } else {
      const respond = (answer: HttpAnswer): void => answerWith(response, answer);
      if (TELLING.has(path) && this.#parts.usersCount()) {
        respond(forbidden(USERS_ON));
        return;
      }
      if (endpoints.handle(method, path, query, respond)) return;
      if (debug.handle(request, response)) return;
      const page = isShared ? peerPages.answer(request) : undefined;
      respond(page ?? NOT_FOUND);
    }
  }

  /** The same where etcd asks nobody: members and observers. */
  #refusesStranger(request: HttpRequest, response: HttpResponse): boolean {
    return this.#parts.ownHosts !== undefined && this.#refuses(request, response);
  }

  /** True: it has been answered that nobody may ask like this. */
  #refuses({ headers, secure, peer }: HttpRequest, response: HttpResponse): boolean {
    const refusal = refusalOf(this.#parts, headers, secure);
    if (refusal === undefined) return false;
    this.refusedCount++;
    this.refusedPeer = peer;
    response.end(refusal.status, TEXT, refusal.text);
    return true;
  }

  /** False: it has been answered that this request is not served. */
  #admits(request: HttpRequest, response: HttpResponse): boolean {
    const { method, path, headers, peerName } = request;
    this.#begin(response);
    if (this.#refuses(request, response)) return false;
    if (peerName && path.startsWith(GATEWAY_PREFIX) && this.#parts.namesCount()) {
      response.end(400, TEXT, NAME_IGNORED);
    } else {
      response.addFields(corsFields(this.#parts, headers));
      if (method !== "OPTIONS") return true;
      response.end(200, [], "");
    }
    return false;
  }
}

/** Takes the body of a request that was refused by its head. */
const DROPPED = { held: 0, onData(): void {}, onEnd(): void {} };

/** The request under the path that it has now. */
function asCurrent(request: HttpRequest): HttpRequest {
  if (!request.path.startsWith(BETA_PREFIX)) return request;
  return { ...request, path: GATEWAY_PREFIX + request.path.slice(BETA_PREFIX.length) };
}

/** Browsers follow the field; who asked by hand reads the text (as Go's http.Redirect). */
function redirect(method: string, target: string, response: HttpResponse): void {
  const isRead = method === "GET" || method === "HEAD";
  const text = isRead ? `<a href="${Bun.escapeHTML(target)}">Temporary Redirect</a>.\n\n` : "";
  const type = isRead ? ["content-type", "text/html; charset=utf-8"] : [];
  response.end(307, ["location", target, ...type], text);
}

function answerWith(response: HttpResponse, { status, fields, body }: HttpAnswer): void {
  response.end(status, fields, body);
}
