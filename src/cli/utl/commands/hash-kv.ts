/** `hashkv`: the hash of a snapshot's history, to be compared with what servers say of theirs. */
import { AetherError } from "../../../base/errors.ts";
import { historyHash } from "../../../storage/etcd/inspect.ts";
import { openSnapshot } from "../../../storage/etcd/snapshot-file.ts";
import { EXIT, ExitError, UsageError } from "../../exit.ts";
import type { UtlCommand } from "../command.ts";
import { orExit, requireFile } from "../failures.ts";
import { historyAnswer, UTL_FORMATS } from "../reports.ts";

const TEXTS: Readonly<Record<string, string>> = {
  compacted: "mvcc: required revision has been compacted",
  future_revision: "mvcc: required revision is a future revision",
};

export const hashKv: UtlCommand = {
  name: "hashkv",
  summary: "Shows the hash of a snapshot's history",
  about: [
    "In simple mode: hash, revision hashed up to, compaction point. The same as `endpoint hashkv`",
    "shows of a server with that history. The file is only read.",
  ].join("\n"),
  args: {
    file: { type: "positional", required: false, description: "The snapshot" },
    rev: { type: "string", default: "0", valueHint: "n", description: "Up to this revision" },
  },
  formats: UTL_FORMATS,
  examples: ["hashkv backup.db", "hashkv backup.db --rev=100"],
  async run({ args, print }) {
    const { positionals } = args;
    const [path] = positionals;
    if (path === undefined || positionals.length > 1) {
      throw new UsageError(`accepts 1 arg(s), received ${positionals.length}`);
    }
    const revision = args.integer("rev");
    requireFile(path);
    const hash = await orExit(() =>
      openSnapshot(path, ({ reader, damaged }) => {
        try {
          return historyHash(reader, revision, damaged);
        } catch (error) {
          const text = error instanceof AetherError ? TEXTS[error.code] : undefined;
          throw text === undefined ? error : new ExitError(EXIT.FAILED, text);
        }
      }),
    );
    print(historyAnswer(hash));
  },
};
