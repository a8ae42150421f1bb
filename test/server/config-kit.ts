/** Configuration from text, and what it is refused for. */
import { type Config, loadConfig } from "../../src/server/config/config.ts";
import { ConfigError } from "../../src/server/config/config-error.ts";

export function load(toml: string, flags: Record<string, string> = {}, environment = {}): Config {
  const file = { name: "aether.toml", text: toml };
  return loadConfig({ file, environment, flags: new Map(Object.entries(flags)) });
}

export function complaint(
  toml: string,
  flags: Record<string, string> = {},
  environment = {},
): string {
  try {
    load(toml, flags, environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return "no complaint";
}

/** Three founders. */
export const PEERS = `
[[cluster.peers]]
node_id = 1
addr = "127.0.0.1:2379"

[[cluster.peers]]
node_id = 2
addr = "127.0.0.1:2479"

[[cluster.peers]]
node_id = 3
addr = "127.0.0.1:2579"
`;
