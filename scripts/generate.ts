/**
 * Writes src/proto/gen from proto/**: plain TypeScript for every message, enum and service, the
 * registry that lists them and the descriptors for the reflection service. The same proto files
 * give the same bytes; a file that would not change is left alone, so watchers stay quiet.
 *
 *   bun scripts/generate.ts
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { protoFileOf } from "./generate/descriptors.ts";
import { readSchema, type SchemaFile } from "./generate/schema.ts";
import { filesModule, packageModule, registryModule } from "./generate/typescript.ts";

const ROOT = join(import.meta.dir, "..");

/** Generates everything; returns how many files were written or removed. Throws on a bad schema. */
export function generate(root = ROOT): number {
  const files = readSchema(join(root, "proto"));
  const packages = groupByPackage(files);
  const modules = new Map<string, string>();
  for (const [name, members] of packages) modules.set(`${name}.ts`, packageModule(members));
  modules.set("registry.ts", registryModule(packages));
  modules.set("files.ts", filesModule(files.map(protoFileOf)));
  return writeModules(join(root, "src", "proto", "gen"), modules);
}

function groupByPackage(files: readonly SchemaFile[]): Map<string, SchemaFile[]> {
  const packages = new Map<string, SchemaFile[]>();
  for (const file of files) {
    const members = packages.get(file.package) ?? [];
    members.push(file);
    packages.set(file.package, members);
  }
  return packages;
}

function writeModules(directory: string, modules: ReadonlyMap<string, string>): number {
  mkdirSync(directory, { recursive: true });
  let changed = 0;
  for (const stale of readdirSync(directory)) {
    if (modules.has(stale)) continue;
    rmSync(join(directory, stale), { recursive: true });
    changed++;
  }
  for (const [name, text] of modules) {
    const path = join(directory, name);
    if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
    writeFileSync(path, text);
    changed++;
  }
  return changed;
}

if (import.meta.main) {
  const start = performance.now();
  const changed = generate();
  console.log(
    `generated src/proto/gen: ${changed} changed, ${Math.round(performance.now() - start)} ms`,
  );
}
