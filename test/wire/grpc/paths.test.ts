/**
 * A method is reached by its path, exactly, and by nothing that looks like it (CVE-2026-33186: a
 * path without its slash passed by the rules and was served). One string is compared once, and is
 * what the handler's authorization sees.
 */
import { describe, expect, test } from "bun:test";
import { fieldOf, PATH, RawClient, requestFields } from "../http2/kit.ts";

const bare = PATH.slice(1);

/** Answered UNIMPLEMENTED, as any unknown method. */
const UNKNOWN = [
  `/${PATH}`,
  `${PATH}/`,
  PATH.toUpperCase(),
  PATH.replace("/test", "/Test"),
  PATH.replace("Service/", "Service//"),
  PATH.replace("Service/", "Service/./"),
  `/x/..${PATH}`,
  PATH.replace(".", "%2e"),
  PATH.replace("Unary", "%55nary"),
  `${PATH}?x=1`,
  `${PATH};x`,
  PATH.replaceAll("/", "\\").replace("\\", "/"),
  "/",
  "//",
];

/** Malformed: reset, and no answer. */
const MALFORMED = [
  bare,
  "",
  "*",
  `http://test${PATH}`,
  ` ${PATH}`,
  `${PATH} `,
  `${PATH}\0`,
  `${PATH}#x`,
];

function ask(path: string): RawClient {
  const client = RawClient.open();
  return client.send(client.request(1, "x", requestFields(path)));
}

describe("paths that are no method's", () => {
  for (const path of UNKNOWN) {
    test(`${JSON.stringify(path)} is unknown`, () => {
      const client = ask(path);
      const { fields, data } = client.answer(1);
      expect(fieldOf(fields[0], "grpc-status")).toBe("12");
      expect(data.length).toBe(0);
    });
  }
  for (const path of MALFORMED) {
    test(`${JSON.stringify(path)} is malformed`, () => {
      expect(ask(path).resets).toEqual(["1 PROTOCOL_ERROR"]);
    });
  }
  test("the path itself is served", () => {
    expect(fieldOf(ask(PATH).answer(1).fields[1], "grpc-status")).toBe("0");
  });
});

describe("smuggled fields", () => {
  const bad: readonly (readonly [string, string[]])[] = [
    ["a second path", [":path", PATH, ...requestFields()]],
    ["a second method", [":method", "GET", ...requestFields()]],
    ["a path among the fields", [...requestFields(), ":path", PATH]],
    ["an unknown pseudo field", [":protocol", "websocket", ...requestFields()]],
    ["a host that is another", [...requestFields(), "host", "evil"]],
    ["a name in capitals", [...requestFields(), "Authorization", "x"]],
    ["a line break in a value", [...requestFields(), "x", "a\r\nauthorization: b"]],
    ["a NUL in a value", [...requestFields(), "x", "a\0b"]],
    ["a line break in a name", [...requestFields(), "x\n", "a"]],
    ["a colon in a name", [...requestFields(), "x:y", "a"]],
    ["an empty name", [...requestFields(), "", "a"]],
    ["transfer-encoding", [...requestFields(), "transfer-encoding", "chunked"]],
    ["connection", [...requestFields(), "connection", "upgrade"]],
    ["te that is not trailers", [...requestFields(), "te", "gzip"]],
    ["two lengths", [...requestFields(), "content-length", "6", "content-length", "7"]],
  ];
  for (const [name, fields] of bad) {
    test(`${name}: reset`, () => {
      const client = RawClient.open();
      client.send(client.request(1, "x", fields));
      expect(client.resets).toEqual(["1 PROTOCOL_ERROR"]);
      expect(client.seen.calls).toEqual([]);
    });
  }
});
