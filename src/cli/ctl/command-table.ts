/** Every client command, in the order in which help lists them. A new one is a row here. */
import type { Command } from "./command.ts";
import { del } from "./commands/del.ts";
import { get } from "./commands/get.ts";
import { put } from "./commands/put.ts";

export const COMMANDS: readonly Command[] = [get, put, del];
