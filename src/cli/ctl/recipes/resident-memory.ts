/** How much memory a server has, as its metrics say. */
import type { Globals } from "../globals.ts";

const METRIC = "process_resident_memory_bytes";
/** For one look at the metrics of a busy server. */
const FETCH_MS = 10_000;

/** Bytes; rejects with Error when the server does not say. */
export async function residentBytes(endpoint: string, tls: Globals["tls"]): Promise<number> {
  const url = `${/^https?:\/\//.test(endpoint) ? endpoint : `http://${endpoint}`}/metrics`;
  const response = await fetch(url, {
    signal: AbortSignal.timeout(FETCH_MS),
    ...(tls === undefined ? {} : { tls: fetchTls(tls) }),
  });
  const text = await response.text();
  const found = new RegExp(`^${METRIC}(?:\\{[^}]*\\})? (\\S+)`, "m").exec(text);
  const bytes = Number(found?.[1] ?? Number.NaN);
  if (Number.isFinite(bytes)) return bytes;
  throw new Error(`could not find: ${METRIC}`);
}

function fetchTls(tls: NonNullable<Globals["tls"]>): Record<string, unknown> {
  const { ca, cert, key, insecureSkipVerify } = tls;
  return { ca, cert, key, rejectUnauthorized: insecureSkipVerify !== true };
}
