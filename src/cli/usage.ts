/**
 * Help texts: citty renders them from the definitions; this adds examples, and takes the colours
 * out when nobody looks.
 */
import { stripVTControlCharacters } from "node:util";
import { type ArgsDef, type CommandDef, defineCommand, renderUsage } from "citty";

export interface Help {
  /** As typed: "aether ctl get". */
  readonly name: string;
  readonly summary: string;
  /** Paragraphs after the summary. */
  readonly about?: string | undefined;
  readonly args?: ArgsDef;
  /** Commands below this one and their summaries. */
  readonly commands?: ReadonlyMap<string, string>;
  /** Command lines to try. */
  readonly examples: readonly string[];
  /** The last line, when there is more to read elsewhere. */
  readonly more?: string;
}

/** The text of `--help`, with a line feed at its end. */
export async function renderHelp(help: Help, coloured: boolean): Promise<string> {
  const subCommands: Record<string, CommandDef> = {};
  for (const [name, description] of help.commands ?? []) {
    subCommands[name] = defineCommand({ meta: { name, description } });
  }
  const command = defineCommand({
    meta: { name: help.name, description: help.summary },
    args: help.args ?? {},
    ...(help.commands === undefined ? {} : { subCommands }),
  });
  const names = Object.keys(subCommands).join("|");
  // citty lists every command in the usage line; they stand below anyway.
  const usage = (await renderUsage(command as CommandDef)).replace(names || "\0", "<COMMAND>");
  const parts = [usage.trimEnd()];
  if (help.about !== undefined) parts.splice(1, 0, help.about);
  if (help.examples.length > 0) {
    parts.push(`EXAMPLES\n\n${help.examples.map((each) => `  ${each}`).join("\n")}`);
  }
  if (help.more !== undefined) parts.push(help.more);
  const text = `${parts.join("\n\n")}\n`;
  if (coloured) return text;
  return stripVTControlCharacters(text).replace(/[ \t]+$/gm, "");
}
