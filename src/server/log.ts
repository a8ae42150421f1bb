/** The log of a node as its configuration wants it; for whoever starts the server. */
import type { Log } from "../base/ports.ts";
import { createLog } from "../observe/log.ts";
import type { Config } from "./config/config.ts";

export function nodeLog(config: Config): Log {
  return createLog({ level: config.log.level, json: config.log.form !== "text" });
}
