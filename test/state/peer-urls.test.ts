import { expect, test } from "bun:test";
import { checkedPeerUrls, sameUrls } from "../../src/state/peer-urls.ts";
import { codeOf } from "./driver.ts";

const codes = (...urls: string[]): string => codeOf(() => checkedPeerUrls(urls));

test("http, https and unix URLs are taken, sorted and without spaces around them", () => {
  const urls = ["https://[::1]:2380", " http://m.example.com:1 ", "unix:///run/a.sock"];
  expect(checkedPeerUrls(urls)).toEqual([
    "http://m.example.com:1",
    "https://[::1]:2380",
    "unix:///run/a.sock",
  ]);
  expect(codes("http://a:65535", "unixs://localhost:m1")).toBe("none");
});

for (const url of [
  "",
  "a:2380",
  "//a:2380",
  "ftp://a:2380",
  "http://a",
  "http://:2380",
  "http://a:",
  "http://a:0",
  "http://a:65536",
  "http://a:2380/",
  "http://a:2380/path",
  "http://a:2380?x=1",
  "http://u@a:2380",
  "http://a b:2380",
  "http://::1:2380",
  "unix://",
]) {
  test(`${JSON.stringify(url)} is none`, () => {
    expect(codes("http://good:1", url)).toBe("bad_member_urls");
  });
}

test("there must be one, and none twice", () => {
  expect(codes()).toBe("bad_member_urls");
  expect(codes("http://a:1", "http://b:1", "http://a:1")).toBe("bad_member_urls");
});

test("the same URLs are the same in any order", () => {
  expect(sameUrls(["http://a:1", "http://b:1"], ["http://b:1", "http://a:1"])).toBe(true);
  expect(sameUrls(["http://a:1"], ["http://a:1", "http://b:1"])).toBe(false);
  expect(sameUrls(["http://a:1"], ["http://a:2"])).toBe(false);
});
