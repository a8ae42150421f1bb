/** The log of a node as its configuration wants it, and in it what there is to say about that. */
import type { Log } from "../base/ports.ts";
import { createLog } from "../observe/log.ts";
import type { Config } from "./config/config.ts";
import type { Role } from "./config/sources.ts";

/** Throws the system's error if a file cannot be opened. */
export function nodeLog(config: Config): Log {
  const log = createLog(config.log);
  for (const { level, message, fields } of config.notices) log[level](message, fields);
  return log;
}

/** Where a configuration that is wrong is complained of. */
export function defaultLog(role: Role): Log {
  if (role === "etcd") return createLog({ level: "info", form: "zap-json", outputs: ["stderr"] });
  return createLog({ level: "info", form: "text" });
}
