/**
 * The schema of ../../proto as plain data, read with protobufjs's parser and reflection. Only the
 * part of proto3 that the project uses is let through; anything else stops the generation with a
 * sentence, so that no construct is ever half supported: messages at the top level, scalars of the
 * types in SCALARS, enums, oneofs, repeated fields; no maps, groups, extensions or `optional`.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import protobuf from "protobufjs";
import type { FieldForm, FieldType } from "../../src/proto/message.ts";

export interface SchemaField {
  readonly name: string;
  readonly jsonName: string;
  readonly comment: string;
  readonly number: number;
  readonly type: FieldType;
  readonly form: FieldForm;
  readonly repeated: boolean;
  readonly oneof: string | undefined;
  /** The enum or message it holds. */
  readonly of: SchemaEnum | SchemaMessage | undefined;
}

export interface SchemaEnum {
  readonly typeName: string;
  /** Its name in TypeScript, alone in its package. */
  readonly tsName: string;
  readonly comment: string;
  readonly values: readonly (readonly [name: string, number: number])[];
}

export interface SchemaMessage {
  readonly typeName: string;
  readonly tsName: string;
  readonly package: string;
  readonly comment: string;
  /** In order of number. */
  readonly fields: SchemaField[];
  readonly oneofs: readonly string[];
  readonly enums: readonly SchemaEnum[];
}

export interface SchemaMethod {
  readonly name: string;
  readonly comment: string;
  readonly request: SchemaMessage;
  readonly response: SchemaMessage;
  readonly clientStream: boolean;
  readonly serverStream: boolean;
}

export interface SchemaService {
  readonly typeName: string;
  readonly name: string;
  readonly comment: string;
  readonly methods: readonly SchemaMethod[];
}

export interface SchemaFile {
  /** As imports name it: "etcdserverpb/rpc.proto". */
  readonly name: string;
  readonly package: string;
  readonly imports: readonly string[];
  readonly comment: string;
  readonly messages: SchemaMessage[];
  readonly enums: SchemaEnum[];
  readonly services: SchemaService[];
}

const SCALARS: readonly string[] = [
  "bool",
  "int32",
  "uint32",
  "int64",
  "uint64",
  "string",
  "bytes",
] satisfies FieldType[];

/** Byte strings that are keys, or the names from which keys are made. */
const KEY_NAMES = new Set(["key", "keys", "range_end", "name"]);

/** 64-bit fields that identify something; every other 64-bit field counts or measures. */
const IDENTITY_NAME = /^(IDs?|lease|leader|memberID|targetID)$|(^|_)(lease|member|cluster)_ids?$/;

/** Reads every proto file below `directory`, in order of their names. */
export function readSchema(directory: string): SchemaFile[] {
  const root = new protobuf.Root();
  const names = (readdirSync(directory, { recursive: true }) as string[])
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".proto"))
    .sort();
  const sources = names.map((name) => readFileSync(join(directory, name), "utf8"));
  const parsed = names.map((name, i) => parseFile(root, name, sources[i] as string));
  const schema = new SchemaBuilder(root);
  const files = names.map((name, i) =>
    schema.file(name, parsed[i] as protobuf.IParserResult, sources[i] as string),
  );
  schema.resolveFields();
  for (let i = 0; i < files.length; i++) schema.addServices(files[i] as SchemaFile);
  checkImports(files);
  return files;
}

function parseFile(root: protobuf.Root, name: string, source: string): protobuf.IParserResult {
  if (!/^syntax = "proto3";$/m.test(source)) throw new Error(`${name}: must be proto3`);
  Object.assign(protobuf.parse, { filename: name }); // kept by every object the parser makes
  return protobuf.parse(source, root, { keepCase: true, alternateCommentMode: true });
}

class SchemaBuilder {
  readonly #root: protobuf.Root;
  readonly #types = new Map<string, SchemaMessage | SchemaEnum>();
  readonly #reflected = new Map<SchemaMessage, protobuf.Type>();

  constructor(root: protobuf.Root) {
    this.#root = root;
  }

  /** The file's messages (still without fields) and enums. */
  file(name: string, parsed: protobuf.IParserResult, source: string): SchemaFile {
    const packageName = parsed.package;
    if (packageName === undefined || packageName === "") throw new Error(`${name}: no package`);
    const messages: SchemaMessage[] = [];
    const enums: SchemaEnum[] = [];
    for (const object of this.#declaredIn(name, packageName)) {
      if (object instanceof protobuf.Type) messages.push(this.#message(object, packageName));
      else if (object instanceof protobuf.Enum) enums.push(this.#enum(object, object.name));
      else if (!(object instanceof protobuf.Service)) {
        throw new Error(`${name}: cannot generate ${object.fullName}`);
      }
    }
    const imports = [...(parsed.imports ?? [])];
    const comment = leadingComment(source);
    return { name, package: packageName, imports, comment, messages, enums, services: [] };
  }

  resolveFields(): void {
    this.#root.resolveAll();
    for (const [message, type] of this.#reflected) {
      const fields = type.fieldsArray.map((field) => this.#field(message, field));
      message.fields.push(...fields.sort((a, b) => a.number - b.number));
    }
  }

  addServices(file: SchemaFile): void {
    for (const object of this.#declaredIn(file.name, file.package)) {
      if (object instanceof protobuf.Service) file.services.push(this.#service(object));
    }
  }

  #declaredIn(file: string, packageName: string): protobuf.ReflectionObject[] {
    const namespace = this.#root.lookup(packageName) as protobuf.Namespace;
    return namespace.nestedArray.filter((object) => object.filename === file);
  }

  #message(type: protobuf.Type, packageName: string): SchemaMessage {
    const enums: SchemaEnum[] = [];
    for (const object of type.nestedArray) {
      if (!(object instanceof protobuf.Enum)) {
        throw new Error(`${type.fullName}: only enums may be declared inside a message`);
      }
      // "Type" alone would say nothing outside its message.
      const name = object.name === "Type" ? `${type.name}Type` : object.name;
      enums.push(this.#enum(object, name));
    }
    const message: SchemaMessage = {
      typeName: type.fullName.slice(1),
      tsName: type.name,
      package: packageName,
      comment: type.comment ?? "",
      fields: [],
      oneofs: type.oneofsArray.map((oneof) => oneof.name),
      enums,
    };
    this.#types.set(message.typeName, message);
    this.#reflected.set(message, type);
    return message;
  }

  #enum(object: protobuf.Enum, tsName: string): SchemaEnum {
    const values = Object.entries(object.values);
    if (values[0]?.[1] !== 0) throw new Error(`${object.fullName}: the first value must be 0`);
    const typeName = object.fullName.slice(1);
    const made = { typeName, tsName, comment: object.comment ?? "", values };
    this.#types.set(typeName, made);
    return made;
  }

  #field(message: SchemaMessage, field: protobuf.Field): SchemaField {
    const of = this.#heldBy(field);
    const type = fieldType(message, field, of);
    return {
      name: field.name,
      jsonName: jsonNameOf(field.name),
      comment: field.comment ?? "",
      number: field.id,
      type,
      form: formOf(field.name, type),
      repeated: field.repeated,
      oneof: field.partOf?.name,
      of,
    };
  }

  #heldBy(field: protobuf.Field): SchemaMessage | SchemaEnum | undefined {
    const type = field.resolvedType;
    return type === null ? undefined : this.#types.get(type.fullName.slice(1));
  }

  #service(object: protobuf.Service): SchemaService {
    const typeName = object.fullName.slice(1);
    const methods = object.methodsArray.map((method) => ({
      name: method.name,
      comment: method.comment ?? "",
      request: this.#messageOf(method.resolvedRequestType),
      response: this.#messageOf(method.resolvedResponseType),
      clientStream: method.requestStream === true,
      serverStream: method.responseStream === true,
    }));
    return { typeName, name: object.name, comment: object.comment ?? "", methods };
  }

  #messageOf(type: protobuf.Type | null): SchemaMessage {
    const message = type === null ? undefined : this.#types.get(type.fullName.slice(1));
    if (message === undefined || !("fields" in message)) throw new Error("a method has no message");
    return message;
  }
}

function fieldType(
  message: SchemaMessage,
  field: protobuf.Field,
  of: SchemaMessage | SchemaEnum | undefined,
): FieldType {
  const where = `${message.typeName}.${field.name}`;
  if (field.map) throw new Error(`${where}: maps are not supported`);
  if (field.options?.["proto3_optional"] === true || field.options?.["packed"] === false) {
    throw new Error(`${where}: optional and unpacked fields are not supported`);
  }
  if (of !== undefined) return "fields" in of ? "message" : "enum";
  if (!SCALARS.includes(field.type)) throw new Error(`${where}: no support for ${field.type}`);
  return field.type as FieldType;
}

function formOf(name: string, type: FieldType): FieldForm {
  switch (type) {
    case "bool":
      return "boolean";
    case "int64":
    case "uint64":
      return IDENTITY_NAME.test(name) ? "bigint" : "number";
    case "bytes":
      return KEY_NAMES.has(name) ? "key" : "bytes";
    case "string":
    case "message":
      return type;
    default:
      return "number";
  }
}

/** protobuf's rule for JSON names: underscores go, the letter after one becomes a capital. */
export function jsonNameOf(name: string): string {
  return name.replace(/_+(.?)/g, (_, next: string) => next.toUpperCase());
}

/** The comment with which a file opens, as one paragraph. */
function leadingComment(source: string): string {
  const lines = source.split("\n");
  const end = lines.findIndex((line) => !line.startsWith("//"));
  const comment = lines.slice(0, Math.max(end, 0));
  return comment.map((line) => line.replace(/^\/\/ ?/, "")).join("\n");
}

function checkImports(files: readonly SchemaFile[]): void {
  const names = new Set(files.map((file) => file.name));
  for (const file of files) {
    for (const imported of file.imports) {
      if (!names.has(imported)) throw new Error(`${file.name}: no file ${imported} to import`);
    }
  }
}
