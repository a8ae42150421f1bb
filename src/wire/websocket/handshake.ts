/** The opening handshake of a WebSocket, the server's side (RFC 6455 §4.2). */
import type { HttpRequest } from "../http1/http.ts";

/** What a key is hashed with, so that no other protocol answers by accident (§1.3). */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Sixteen bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;

const VERSION = "13";

/** Whether the client asks for a WebSocket; whether it may have one, refusalOf() says. */
export function isWebSocketRequest({ headers }: HttpRequest): boolean {
  return headers.get("upgrade")?.toLowerCase().includes("websocket") === true;
}

export interface Refusal {
  readonly status: number;
  readonly fields: readonly string[];
  readonly text: string;
}

/** Why the request is no handshake, or undefined. */
export function refusalOf({ method, headers }: HttpRequest): Refusal | undefined {
  const fields = ["content-type", "text/plain; charset=utf-8"];
  if (method !== "GET") return { status: 405, fields, text: "Method Not Allowed\n" };
  if (headers.get("sec-websocket-version") !== VERSION) {
    const versions = [...fields, "sec-websocket-version", VERSION];
    return { status: 400, fields: versions, text: "Bad Request\n" };
  }
  const isKey = KEY.test(headers.get("sec-websocket-key") ?? "");
  return isKey ? undefined : { status: 400, fields, text: "Bad Request\n" };
}

/** The fields of the answer 101 besides `connection`. */
export function acceptFields({ headers }: HttpRequest): readonly string[] {
  const key = headers.get("sec-websocket-key") ?? "";
  const accept = new Bun.CryptoHasher("sha1").update(key + GUID).digest("base64");
  return ["upgrade", "websocket", "sec-websocket-accept", accept];
}
