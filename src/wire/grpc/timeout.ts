/** The `grpc-timeout` field (gRPC over HTTP/2, "Timeout"): at most 8 digits and a unit. */

const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** Milliseconds, or undefined if the text is not a timeout. */
export function parseGrpcTimeout(text: string): number | undefined {
  if (!/^\d{1,8}[HMSmun]$/.test(text)) return undefined;
  const unit = UNIT_MS[text.slice(-1)] as number;
  return Number(text.slice(0, -1)) * unit;
}

/** The largest value that eight digits hold. */
const VALUE_MAX = 99_999_999;

/**
 * The finest unit which holds the time, rounded up: the server's deadline must not come before the
 * client's. Times at or below 0 give "0n"; over 11,000 years give the longest that can be said.
 */
export function formatGrpcTimeout(timeoutMs: number): string {
  if (!(timeoutMs > 0)) return "0n";
  for (const unit of ["n", "u", "m", "S", "M", "H"]) {
    const value = Math.ceil(timeoutMs / (UNIT_MS[unit] as number));
    if (value <= VALUE_MAX) return `${value}${unit}`;
  }
  return `${VALUE_MAX}H`;
}
