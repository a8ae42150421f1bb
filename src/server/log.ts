/** The log of a node as its configuration wants it, and in it what there is to say about that. */
import type { Log } from "../base/ports.ts";
import { createLog } from "../observe/log.ts";
import type { Config } from "./config/config.ts";

export function nodeLog(config: Config): Log {
  const log = createLog(config.log);
  for (const { level, message, fields } of config.notices) log[level](message, fields);
  return log;
}
