/** The schema, against etcd's own proto files, the frozen list, and reflection's descriptors. */
import { describe, expect, test } from "bun:test";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import protobuf from "protobufjs";
import descriptor from "protobufjs/ext/descriptor.js";
import { generate } from "../../scripts/generate.ts";
import { PROTO_FILES } from "../../src/proto/gen/files.ts";
import { MESSAGES, SERVICES } from "../../src/proto/gen/registry.ts";
import type { Field, MessageType, MethodType } from "../../src/proto/message.ts";
import { reflected } from "./oracle.ts";

const ROOT = join(import.meta.dir, "..", "..");

function label(field: Field): string {
  const type = field.message?.().typeName ?? field.enumType?.typeName ?? field.type;
  const oneof = field.oneof === undefined ? "" : ` (${field.oneof})`;
  return `${field.number} ${field.name} ${field.repeated ? "repeated " : ""}${type}${oneof}`;
}

function frozenForm(type: MessageType<unknown>): string {
  return `${type.typeName}: ${type.fields.map(label).join(", ")}`.trimEnd();
}

function frozenMethod(method: MethodType<unknown, unknown>): string {
  const request = `${method.clientStream ? "stream " : ""}${method.request.typeName}`;
  const response = `${method.serverStream ? "stream " : ""}${method.response.typeName}`;
  return `${method.path} ${request} -> ${response}`;
}

test("names, numbers and types are those that were published", () => {
  const path = join(import.meta.dir, "wire-surface.txt");
  const methods = SERVICES.flatMap((service) => Object.values(service.methods));
  const lines = [...MESSAGES.map(frozenForm), ...methods.map(frozenMethod)];
  const actual = `${lines.join("\n")}\n`;
  if (process.env["REWRITE"] === "1") writeFileSync(path, actual);
  expect(actual).toBe(readFileSync(path, "utf8"));
});

describe("etcd's own proto files, as a public client ships them", () => {
  const theirs = new protobuf.Root();
  for (const name of ["auth", "kv", "rpc"]) {
    const path = join(ROOT, "node_modules", "etcd3", "proto", `${name}.proto`);
    protobuf.parse(readFileSync(path, "utf8"), theirs, { keepCase: true });
  }
  theirs.resolveAll();

  test("every message, field and enum value of theirs is one of ours", () => {
    let fields = 0;
    for (const type of MESSAGES.filter((each) => each.typeName.startsWith("etcdserverpb."))) {
      const other = theirs.lookup(type.typeName);
      if (!(other instanceof protobuf.Type)) continue;
      for (const field of other.fieldsArray) {
        const ours = type.fields.find((each) => each.name === field.name);
        const theirType = field.resolvedType?.fullName.slice(1) ?? field.type;
        expect(ours && `${ours.number} ${ours.repeated} ${typeOf(ours)}`).toBe(
          `${field.id} ${field.repeated} ${theirType}`,
        );
        if (field.resolvedType instanceof protobuf.Enum) {
          expect(plainNames(ours?.enumType?.values ?? {})).toMatchObject(
            plainNames(field.resolvedType.values),
          );
        }
        fields++;
      }
    }
    expect(fields).toBeGreaterThan(180);
  });

  test("every method of theirs is one of ours", () => {
    let methods = 0;
    for (const { typeName, methods: ours } of SERVICES) {
      const service = theirs.lookup(typeName);
      if (!(service instanceof protobuf.Service)) continue;
      for (const method of service.methodsArray) {
        const same = ours[method.name];
        expect(same?.request.typeName).toBe(
          method.resolvedRequestType?.fullName.slice(1) as string,
        );
        expect(same?.clientStream).toBe(method.requestStream === true);
        expect(same?.serverStream).toBe(method.responseStream === true);
        methods++;
      }
    }
    expect(methods).toBeGreaterThan(35);
  });
});

/** That client writes some names of enums in another case. */
function plainNames(values: Readonly<Record<string, number>>): Record<string, number> {
  const plain: Record<string, number> = {};
  for (const name of Object.keys(values)) {
    plain[name.replaceAll("_", "").toUpperCase()] = values[name] as number;
  }
  return plain;
}

function typeOf(field: Field): string {
  return field.message?.().typeName ?? field.enumType?.typeName ?? field.type;
}

test("the native messages that etcd has too have its numbers", () => {
  const etcd = new Map(MESSAGES.map((type) => [type.typeName, type]));
  let same = 0;
  for (const native of MESSAGES.filter((type) => type.typeName.startsWith("aether.v1."))) {
    const other = etcd.get(native.typeName.replace("aether.v1", "etcdserverpb"));
    for (const field of native.fields) {
      const twin = other?.fields.find((each) => each.name === field.name);
      if (twin === undefined) continue;
      expect([native.typeName, twin.number, twin.type, twin.form, twin.repeated]).toEqual([
        native.typeName,
        field.number,
        field.type,
        field.form,
        field.repeated,
      ]);
      same++;
    }
  }
  expect(same).toBeGreaterThan(150);
});

describe("descriptors for reflection", () => {
  const file = descriptor.FileDescriptorSet.fromObject({
    file: PROTO_FILES.map((each) =>
      descriptor.FileDescriptorProto.decode(Buffer.from(each.descriptor, "base64")),
    ),
  });
  const root = protobuf.Root.fromDescriptor(file as never, { keepCase: true } as never);
  root.resolveAll();

  test("say the same as the proto files", () => {
    for (const type of MESSAGES) {
      const fields = (from: protobuf.Type) =>
        from.fieldsArray.map((field) =>
          [
            field.name,
            field.id,
            field.resolvedType?.fullName ?? field.type,
            field.repeated,
            field.partOf?.name,
          ].join(" "),
        );
      expect(fields(root.lookupType(type.typeName))).toEqual(fields(reflected(type)));
    }
    for (const { typeName, methods } of SERVICES) {
      const service = root.lookupService(typeName);
      expect(service.methodsArray.map((each) => each.name)).toEqual(Object.keys(methods));
    }
  });

  test("carry JSON names, imports and every symbol once", () => {
    const symbols = PROTO_FILES.flatMap((each) => each.symbols);
    expect(new Set(symbols).size).toBe(symbols.length);
    for (const type of MESSAGES) expect(symbols).toContain(type.typeName);
    for (const each of SERVICES) expect(symbols).toContain(each.typeName);
    const rpc = PROTO_FILES.find((each) => each.name === "etcdserverpb/rpc.proto");
    expect(rpc?.imports).toEqual(["authpb/auth.proto", "mvccpb/kv.proto"]);
    const decoded = descriptor.FileDescriptorProto.decode(
      Buffer.from(rpc?.descriptor ?? "", "base64"),
    ) as unknown as { messageType: { field: { name: string; jsonName: string }[] }[] };
    const names = decoded.messageType.flatMap((message) => message.field);
    expect(names.find((field) => field.name === "range_end")?.jsonName).toBe("rangeEnd");
    expect(names.find((field) => field.name === "remaining_TTL")?.jsonName).toBe("remainingTTL");
    expect(names.find((field) => field.name === "peerURLs")?.jsonName).toBe("peerURLs");
  });
});

describe("the generator", () => {
  function withRoot(run: (root: string) => void): void {
    const root = mkdtempSync(join(tmpdir(), "aether-generate-"));
    try {
      cpSync(join(ROOT, "proto"), join(root, "proto"), { recursive: true });
      run(root);
    } finally {
      rmSync(root, { recursive: true });
    }
  }

  function addProto(root: string, body: string, syntax = 'syntax = "proto3";'): void {
    mkdirSync(join(root, "proto", "x"), { recursive: true });
    writeFileSync(join(root, "proto", "x", "x.proto"), `${syntax}\npackage x;\n${body}\n`);
  }

  test("writes the same bytes again, leaves them alone, and removes what is stale", () => {
    withRoot((root) => {
      const gen = join(root, "src", "proto", "gen");
      expect(generate(root)).toBeGreaterThan(8);
      for (const name of readdirSync(gen)) {
        const here = readFileSync(join(ROOT, "src", "proto", "gen", name), "utf8");
        expect(readFileSync(join(gen, name), "utf8")).toBe(here);
      }
      const before = statSync(join(gen, "mvccpb.ts")).mtimeMs;
      writeFileSync(join(gen, "gone.ts"), "");
      expect(generate(root)).toBe(1);
      expect(readdirSync(gen)).not.toContain("gone.ts");
      expect(statSync(join(gen, "mvccpb.ts")).mtimeMs).toBe(before);
    });
  });

  test("refuses what it would only half support", () => {
    const bad = [
      "message M { map<string, string> m = 1; }",
      "message M { double d = 1; }",
      "message M { optional string s = 1; }",
      "message M { repeated int32 n = 1 [packed = false]; }",
      "message M { message N {} }",
      "message M { Missing m = 1; }",
      "message M { enum E { A = 1; } }",
      "message M { enum Same { A = 0; } } message N { enum Same { A = 0; } }",
      'import "nowhere.proto"; message M {}',
    ];
    for (const body of bad) {
      withRoot((root) => {
        addProto(root, body);
        expect(() => generate(root)).toThrow();
      });
    }
    withRoot((root) => {
      addProto(root, "message M {}", 'syntax = "proto2";');
      expect(() => generate(root)).toThrow("proto3");
    });
  });
});
