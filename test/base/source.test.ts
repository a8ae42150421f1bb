import { expect, test } from "bun:test";
import { sourceOf, sourceOfPeer } from "../../src/base/source.ts";

test.each([
  ["10.1.2.3", "10.1.2.3"],
  ["::ffff:10.1.2.3", "10.1.2.3"],
  ["::FFFF:10.1.2.3", "10.1.2.3"],
  ["::ffff:a01:203", "10.1.2.3"],
  ["0:0:0:0:0:ffff:0a01:0203", "10.1.2.3"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:0DB8:0001:0002::6", "2001:db8:1:2"],
  ["2001:db8:1:2::6", "2001:db8:1:2"],
  ["2001:db8::6", "2001:db8:0:0"],
  ["2001:db8::10.1.2.3", "2001:db8:0:0"],
  ["::1", "0:0:0:0"],
  ["::", "0:0:0:0"],
  ["fe80::", "fe80:0:0:0"],
  ["fe80::1%eth0", "fe80:0:0:0"],
  ["unix", "unix"],
  ["a:b", "a:b"],
  ["1::2::3", "1::2::3"],
  ["::fffff", "::fffff"],
  ["1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8:9"],
  ["", ""],
])("from %s come from %s", (address, source) => {
  expect(sourceOf(address)).toBe(source);
});

test.each([
  ["10.1.2.3:41000", "10.1.2.3"],
  ["[2001:db8::1]:41000", "2001:db8:0:0"],
  ["[::ffff:10.1.2.3]:41000", "10.1.2.3"],
  ["unix", "unix"],
])("a connection of %s is one of %s", (peer, source) => {
  expect(sourceOfPeer(peer)).toBe(source);
});
