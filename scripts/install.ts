/**
 * Brings node_modules to what bun.lock says, quietly when it is already there. Imports nothing
 * that needs installing, since it runs first on a bare checkout.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dir, "..");

/** The executable that runs this script: pinned Bun 1.4.4, whatever is on PATH. */
export const bun = process.execPath;

const PINNED_BUN = "1.4.4";

/** Runs a command in the project's root; ends this process with its status if it fails. */
export async function run(command: readonly string[], env?: Record<string, string>): Promise<void> {
  const child = Bun.spawn([...command], {
    cwd: root,
    stdio: ["inherit", "inherit", "inherit"],
    env: { ...process.env, ...env },
  });
  const status = await child.exited;
  if (status !== 0) {
    console.error(`failed (exit ${status}): ${command.join(" ")}`);
    process.exit(status === 0 ? 1 : status);
  }
}

/** Installs the pinned dependencies from the lock file, if they are not there. */
export async function install(): Promise<void> {
  if (Bun.version !== PINNED_BUN) {
    console.error(
      `this is Bun ${Bun.version}; the project is pinned to ${PINNED_BUN}: ` +
        `use npx -y bun@${PINNED_BUN} (see README.md)`,
    );
    process.exit(1);
  }
  const lock = Bun.file(join(root, "bun.lock"));
  const stamp = Bun.file(join(root, "node_modules", ".aether-lock"));
  const wanted = await lock.text();
  if (existsSync(join(root, "node_modules")) && (await stamp.exists())) {
    if ((await stamp.text()) === wanted) return;
  }
  await run([bun, "install", "--frozen-lockfile"]);
  await Bun.write(stamp, wanted);
}

if (import.meta.main) await install();
