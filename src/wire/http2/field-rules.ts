/**
 * What makes a request or response well formed (RFC 9113 §8.2, §8.3). The bytes of names and values
 * have been judged by the HPACK decoder; here is what the fields may be together.
 */

const COLON = 0x3a;
const SLASH = 0x2f;

/** The pseudo fields of a request (§8.3.1). */
export interface RequestLine {
  readonly method: string;
  readonly path: string;
  readonly authority: string | undefined;
}

/** Where regular fields start; pseudo fields stand before them (§8.3). */
function pseudoCount(fields: readonly string[]): number {
  let at = 0;
  while (at < fields.length && (fields[at] as string).charCodeAt(0) === COLON) at += 2;
  return at;
}

/** The request line, or undefined if the list is malformed. CONNECT is: nothing here serves it. */
export function readRequestLine(fields: readonly string[]): RequestLine | undefined {
  const regular = pseudoCount(fields);
  let method: string | undefined;
  let path: string | undefined;
  let scheme: string | undefined;
  let authority: string | undefined;
  for (let at = 0; at < regular; at += 2) {
    const value = fields[at + 1];
    const name = fields[at];
    if (name === ":method" && method === undefined) method = value;
    else if (name === ":path" && path === undefined) path = value;
    else if (name === ":scheme" && scheme === undefined) scheme = value;
    else if (name === ":authority" && authority === undefined) authority = value;
    else return undefined; // unknown, or twice
  }
  if (!method || !path || !scheme || method === "CONNECT") return undefined;
  if (path.charCodeAt(0) !== SLASH && !(path === "*" && method === "OPTIONS")) return undefined;
  if (!lineIsValid(method, scheme, path, authority ?? "")) return undefined;
  if (!regularFieldsAreValid(fields, regular)) return undefined;
  if (!hostAgrees(fields, regular, authority)) return undefined;
  return { method, path, authority };
}

/** What pseudo fields are made of (§8.3, §10.3): a token (RFC 9110 §5.6.2), parts of a URI. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;
const PATH = /^[\x21\x22\x24-\x7e]*$/;
/** No user information (§8.3.1). Otherwise lenient: etcd's Go client 3.5.0 sends
 * "#initially=[unix:@/run/etcd.sock]". */
const AUTHORITY = /^(#[\x21-\x7e]*|[\x21-\x3f\x41-\x7e]*)$/;

function lineIsValid(method: string, scheme: string, path: string, authority: string): boolean {
  const methodIsValid = method === "POST" || TOKEN.test(method);
  const schemeIsValid = scheme === "http" || scheme === "https" || SCHEME.test(scheme);
  return methodIsValid && schemeIsValid && PATH.test(path) && AUTHORITY.test(authority);
}

/** The status of a response, 0 for a list without pseudo fields (trailers), -1 if malformed. */
export function readStatus(fields: readonly string[]): number {
  const regular = pseudoCount(fields);
  if (!regularFieldsAreValid(fields, regular)) return -1;
  if (regular === 0) return 0;
  if (regular !== 2 || fields[0] !== ":status") return -1;
  const text = fields[1] as string;
  return /^[1-9]\d\d$/.test(text) ? Number(text) : -1;
}

/** Trailers have no pseudo fields (§8.1). */
export function trailersAreValid(fields: readonly string[]): boolean {
  return pseudoCount(fields) === 0 && regularFieldsAreValid(fields, 0);
}

/** The content-length; -1 if there is none, -2 if malformed or contradicting (RFC 9110 §8.6). */
export function readContentLength(fields: readonly string[]): number {
  let length = -1;
  for (let at = 0; at < fields.length; at += 2) {
    if (fields[at] !== "content-length") continue;
    const text = fields[at + 1] as string;
    if (!/^\d{1,15}$/.test(text)) return -2;
    const value = Number(text);
    if (length !== -1 && length !== value) return -2;
    length = value;
  }
  return length;
}

/** No pseudo fields among them, and none that speaks of the connection (§8.2.2). */
function regularFieldsAreValid(fields: readonly string[], from: number): boolean {
  for (let at = from; at < fields.length; at += 2) {
    const name = fields[at] as string;
    switch (name) {
      case "connection":
      case "keep-alive":
      case "proxy-connection":
      case "transfer-encoding":
      case "upgrade":
        return false;
      case "te":
        if (fields[at + 1] !== "trailers") return false;
        break;
      default:
        if (name.charCodeAt(0) === COLON) return false;
    }
  }
  return true;
}

/** A host field may not contradict :authority (§8.3.1). */
function hostAgrees(fields: readonly string[], from: number, authority?: string): boolean {
  if (authority === undefined) return true;
  for (let at = from; at < fields.length; at += 2) {
    if (fields[at] === "host" && fields[at + 1] !== authority) return false;
  }
  return true;
}
