/** Every method is reachable over JSON, or is named as one that is not. */
import { expect, test } from "bun:test";
import { NATIVE_PACKAGE, PATHS, typesByPath, UNMAPPED } from "../../../src/gateway/json/paths.ts";
import { SERVICES } from "../../../src/proto/gen/registry.ts";

test("every method has a path or is listed as having none", () => {
  const missing: string[] = [];
  for (const { typeName, methods } of SERVICES) {
    if (typeName.startsWith(NATIVE_PACKAGE) || UNMAPPED.has(typeName)) continue;
    for (const [name, { path }] of Object.entries(methods)) {
      const paths = PATHS[typeName]?.[name] ?? [];
      if ((paths.length === 0) !== UNMAPPED.has(path)) missing.push(path);
    }
  }
  expect(missing).toEqual([]);
});

test("every path leads to a method that exists, and to one only", () => {
  const services = new Map(SERVICES.map(({ typeName, methods }) => [typeName, methods]));
  const seen = new Set<string>();
  for (const [service, methods] of Object.entries(PATHS)) {
    for (const [name, paths] of Object.entries(methods)) {
      expect([service, name, services.get(service)?.[name] !== undefined]).toContain(true);
      for (const path of paths) {
        expect([path, seen.has(path)]).toEqual([path, false]);
        expect(path).toStartWith("/v3/");
        seen.add(path);
      }
    }
  }
  expect(typesByPath().size).toBe(seen.size);
  expect(seen.size).toBe(51);
});
