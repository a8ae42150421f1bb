/**
 * Passwords and tokens on the command line. Everybody on a machine can read the command lines of
 * all processes (/proc/PID/cmdline, `ps`), and etcdctl's flags, which scripts give us too, take
 * secrets. So the first thing that a client does is to write stars over them where the kernel reads
 * its command line: in its own memory. That leaves the moment between exec and here; who wants none
 * at all uses a variable, --password-file, or lets himself be asked.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";

/** Flags whose value is a secret. */
export const SECRET_FLAGS: ReadonlySet<string> = new Set([
  "password",
  "new-user-password",
  "dest-password",
  "from-password",
  "auth-jwt-token",
]);
/** Flags with a name, and a password after a colon. */
export const USER_FLAGS: ReadonlySet<string> = new Set(["user", "dest-user", "from-user"]);

const STAR = "*";

/**
 * Overwrites the secrets in the command line of this process, which ends with `words`. False if
 * there are some and others can still read them: no Linux, or one that forbids it.
 */
export function hideArguments(words: readonly string[]): boolean {
  const secrets = words.map(secretIn);
  if (secrets.every((secret) => secret === "")) return true;
  try {
    overwrite(words, secrets);
    return true;
  } catch {
    return false; // whoever called says so: nothing else is lost by it
  }
}

/** What is secret in a word: a tail of it, or nothing. `user add name:password` has no flag. */
function secretIn(word: string, place: number, words: readonly string[]): string {
  const [flag = "", ...rest] = word.split("=");
  const named = secretOf(flag, rest.join("=")) || secretOf(words[place - 1] ?? "", word);
  if (named !== "" || word.startsWith("--")) return named;
  const add = words.indexOf("add");
  return add >= 0 && add < place && words.includes("user") ? afterColon(word) : "";
}

function secretOf(flag: string, value: string): string {
  if (!flag.startsWith("--")) return "";
  if (SECRET_FLAGS.has(flag.slice(2))) return value;
  return USER_FLAGS.has(flag.slice(2)) ? afterColon(value) : "";
}

function afterColon(text: string): string {
  const colon = text.indexOf(":");
  return colon < 0 ? "" : text.slice(colon + 1);
}

/** proc(5): the arg_start of /proc/self/stat is where in our memory the kernel finds arguments. */
function overwrite(words: readonly string[], secrets: readonly string[]): void {
  const line = readFileSync("/proc/self/cmdline");
  const memory = openSync("/proc/self/mem", "r+");
  try {
    let end = line.length; // each argument ends with a zero byte
    for (let place = words.length - 1; place >= 0; place--) {
      const start = line.lastIndexOf(0, end - 2) + 1;
      const bytes = Buffer.byteLength(secrets[place] as string);
      const at = end - 1 - bytes;
      if (bytes > 0 && at >= start) {
        writeSync(memory, STAR.repeat(bytes), argumentsStart() + at, "latin1");
      }
      end = start;
    }
  } finally {
    closeSync(memory);
  }
}

/** Field 48 of proc(5)'s /proc/PID/stat; the second, in brackets, may hold anything. */
function argumentsStart(): number {
  const stat = readFileSync("/proc/self/stat", "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[48 - 3]);
}
