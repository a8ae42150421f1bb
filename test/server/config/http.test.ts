/** Who may ask over HTTP, in both dialects. */
import { expect, test } from "bun:test";
import { type Config, loadConfig } from "../../../src/server/config/config.ts";

function httpOf(text: string, flags: Record<string, string> = {}): Config["http"] {
  const file = { name: "aether.toml", text };
  return loadConfig({ file, environment: {}, flags: new Map(Object.entries(flags)) }).http;
}

function httpOfEtcd(flags: Record<string, string>): Config["http"] {
  const given = new Map(Object.entries(flags));
  return loadConfig({ role: "etcd", environment: {}, flags: given }).http;
}

test("in Aether's own words nobody but our own names and pages, unless it is said", () => {
  expect(httpOf("")).toMatchObject({ cors: [], hostWhitelist: [] });
  const said =
    '[http]\ncors = ["http://a.example", "https://b.example"]\nallowed_hosts = ["c", "d"]';
  expect(httpOf(said)).toMatchObject({
    cors: ["http://a.example", "https://b.example"],
    hostWhitelist: ["c", "d"],
  });
  expect(httpOf("", { "http-cors": "*", "http-allowed-hosts": "*" })).toMatchObject({
    cors: ["*"],
    hostWhitelist: ["*"],
  });
  expect(() => httpOf('[http]\ncors = ["a.example"]')).toThrow("aether.toml:2: http.cors");
});

test("in etcd's words everybody, unless it is said", () => {
  expect(httpOfEtcd({})).toMatchObject({ cors: ["*"], hostWhitelist: ["*"] });
  expect(httpOfEtcd({ cors: "http://a", "host-whitelist": "b" })).toMatchObject({
    cors: ["http://a"],
    hostWhitelist: ["b"],
  });
});
