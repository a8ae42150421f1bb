/**
 * gRPC server reflection (grpc.reflection.v1 and v1alpha, which are the same messages under two
 * names), so that grpcurl and the like work without proto files. Extensions do not exist in
 * proto3; asking for them is answered NOT_FOUND inside the stream, as the protocol wants.
 */

import { PROTO_FILES } from "../proto/gen/files.ts";
import {
  ServerReflection,
  ServerReflectionRequest,
  ServerReflectionResponse,
} from "../proto/gen/grpc.reflection.v1.ts";
import { ServerReflection as ServerReflectionAlpha } from "../proto/gen/grpc.reflection.v1alpha.ts";
import type { MessageType, ProtoFile } from "../proto/message.ts";
import type { Method, ServerCall, StreamHandler } from "../wire/grpc/server-call.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import { decodeRequest, leavesUnread, send, UNREAD } from "./answer.ts";

const byName = new Map(PROTO_FILES.map((file) => [file.name, file]));

/** `services` are the full names of what this server serves. */
export function reflectionMethods(services: readonly string[]): Method[] {
  const open = (call: ServerCall): StreamHandler => ({
    onMessage: (bytes, start, end) => {
      if (leavesUnread(call)) {
        call.fail(UNREAD.code, UNREAD.message);
        return;
      }
      const request = decodeRequest(ServerReflectionRequest, bytes, start, end);
      send(call, ServerReflectionResponse as MessageType<ServerReflectionResponse>, {
        ...ServerReflectionResponse.create({ validHost: request.host, originalRequest: request }),
        ...answerTo(request, services),
      });
    },
    onHalfClose: () => call.finish(),
    onCancel: () => {},
    onDrain: () => {},
  });
  return [
    { path: ServerReflection.ServerReflectionInfo.path, stream: open },
    { path: ServerReflectionAlpha.ServerReflectionInfo.path, stream: open },
  ];
}

function answerTo(
  request: ServerReflectionRequest,
  services: readonly string[],
): Partial<ServerReflectionResponse> {
  if (request.listServices !== undefined) {
    return { listServicesResponse: { service: services.map((name) => ({ name })) } };
  }
  if (request.fileByFilename !== undefined) {
    return fileAnswer(byName.get(request.fileByFilename), request.fileByFilename);
  }
  if (request.fileContainingSymbol !== undefined) {
    return fileAnswer(declaring(request.fileContainingSymbol), request.fileContainingSymbol);
  }
  return notFound("proto3 has no extensions");
}

/** The file that declares `symbol` or, for a method or a field, the type it belongs to. */
function declaring(symbol: string): ProtoFile | undefined {
  const name = symbol.startsWith(".") ? symbol.slice(1) : symbol;
  const owner = name.slice(0, Math.max(0, name.lastIndexOf(".")));
  const declares = (wanted: string) => PROTO_FILES.find((file) => file.symbols.includes(wanted));
  return declares(name) ?? declares(owner);
}

function fileAnswer(file: ProtoFile | undefined, asked: string): Partial<ServerReflectionResponse> {
  if (file === undefined) return notFound(`not found: ${asked}`);
  const files = new Map<string, ProtoFile>();
  collectWithImports(file, files);
  const fileDescriptorProto = [...files.values()].map((each) =>
    Buffer.from(each.descriptor, "base64"),
  );
  return { fileDescriptorResponse: { fileDescriptorProto } };
}

function collectWithImports(file: ProtoFile, into: Map<string, ProtoFile>): void {
  if (into.has(file.name)) return;
  into.set(file.name, file);
  for (const name of file.imports) {
    const imported = byName.get(name);
    if (imported !== undefined) collectWithImports(imported, into);
  }
}

function notFound(message: string): Partial<ServerReflectionResponse> {
  return { errorResponse: { errorCode: GrpcCode.NOT_FOUND, errorMessage: message } };
}
