/**
 * FileDescriptorProto of each proto file, for the reflection service: made by hand from the
 * schema, since tools want the files as they are imported and every field with its JSON name,
 * and encoded with protobufjs's own descriptor types.
 */
import descriptor from "protobufjs/ext/descriptor.js";
import type { FieldType, ProtoFile } from "../../src/proto/message.ts";
import type {
  SchemaEnum,
  SchemaField,
  SchemaFile,
  SchemaMessage,
  SchemaService,
} from "./schema.ts";

/** FieldDescriptorProto.Type by name. */
const TYPE_NUMBERS: ReadonlyMap<FieldType, number> = new Map([
  ["int64", 3],
  ["uint64", 4],
  ["int32", 5],
  ["bool", 8],
  ["string", 9],
  ["message", 11],
  ["bytes", 12],
  ["uint32", 13],
  ["enum", 14],
]);

const LABEL_OPTIONAL = 1;
const LABEL_REPEATED = 3;

export function protoFileOf(file: SchemaFile): ProtoFile {
  const symbols = [
    ...file.messages.flatMap((each) => [each.typeName, ...each.enums.map((e) => e.typeName)]),
    ...file.enums.map((each) => each.typeName),
    ...file.services.map((each) => each.typeName),
  ];
  return {
    name: file.name,
    package: file.package,
    imports: file.imports,
    symbols,
    descriptor: Buffer.from(serialize(file)).toString("base64"),
  };
}

function serialize(file: SchemaFile): Uint8Array {
  const type = descriptor.FileDescriptorProto;
  return type
    .encode(
      type.fromObject({
        name: file.name,
        package: file.package,
        dependency: file.imports,
        messageType: file.messages.map(messageOf),
        enumType: file.enums.map(enumOf),
        service: file.services.map(serviceOf),
        syntax: "proto3",
      }),
    )
    .finish();
}

function messageOf(message: SchemaMessage): object {
  return {
    name: message.tsName,
    field: message.fields.map((field) => fieldOf(message, field)),
    enumType: message.enums.map(enumOf),
    oneofDecl: message.oneofs.map((name) => ({ name })),
  };
}

function fieldOf(message: SchemaMessage, field: SchemaField): object {
  return {
    name: field.name,
    number: field.number,
    label: field.repeated ? LABEL_REPEATED : LABEL_OPTIONAL,
    type: TYPE_NUMBERS.get(field.type),
    ...(field.of === undefined ? {} : { typeName: `.${field.of.typeName}` }),
    ...(field.oneof === undefined ? {} : { oneofIndex: message.oneofs.indexOf(field.oneof) }),
    jsonName: field.jsonName,
  };
}

function enumOf(each: SchemaEnum): object {
  const name = each.typeName.slice(each.typeName.lastIndexOf(".") + 1);
  return { name, value: each.values.map(([name, number]) => ({ name, number })) };
}

function serviceOf(service: SchemaService): object {
  return {
    name: service.name,
    method: service.methods.map((method) => ({
      name: method.name,
      inputType: `.${method.request.typeName}`,
      outputType: `.${method.response.typeName}`,
      clientStreaming: method.clientStream,
      serverStreaming: method.serverStream,
    })),
  };
}
