/** `version`: of the tool itself. */
import { API_VERSION, VERSION } from "../../../base/version.ts";
import type { UtlCommand } from "../command.ts";

/** The release of etcd whose tool this one is, command by command. */
const ETCDUTL_VERSION = "3.7.1";

export const version: UtlCommand = {
  name: "version",
  summary: "Shows the version of the tool and of the API",
  about: "Called as etcdutl, it shows the release of etcd whose commands it has.",
  args: {},
  examples: ["version"],
  async run({ io }) {
    const asEtcdutl = io.program === "etcdutl";
    const line = asEtcdutl
      ? `etcdutl version: ${ETCDUTL_VERSION}`
      : `aether utl version: ${VERSION}`;
    io.out(Buffer.from(`${line}\nAPI version: ${API_VERSION}\n`));
  },
};
