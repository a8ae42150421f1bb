/** Opens the data directory; placeholder of the engineer who composes the server. */
import { mkdirSync } from "node:fs";
export interface DataDir {
  release(): void;
}
export function openDataDir(path: string): DataDir {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return { release() {} };
}
