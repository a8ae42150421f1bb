/** Profiles as pprof reads them: decoded again by the numbers of its proto file. */
import { describe, expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import { encodeProfile, type Profile } from "../../../src/server/http/pprof.ts";
import { profileOf } from "../../../src/server/http/profiles.ts";

type Fields = Map<number, (number | Buffer)[]>;

function decode(bytes: Buffer): Fields {
  const fields: Fields = new Map();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++] as number;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const value = varint();
    const isBytes = (tag & 7) === 2;
    if (isBytes) at += value;
    const list = fields.get(tag >> 3) ?? [];
    list.push(isBytes ? bytes.subarray(at - value, at) : value);
    fields.set(tag >> 3, list);
  }
  return fields;
}

/** Stacks as "name:line < name:line", with their values. */
function readBack(profile: Profile): [string, ...number[]][] {
  const fields = decode(gunzipSync(encodeProfile(profile)));
  const all = (of: Fields, field: number): Fields[] =>
    (of.get(field) ?? []).map((each) => decode(each as Buffer));
  const texts = (fields.get(6) ?? []).map(String);
  expect(texts[0]).toBe("");
  const one = (of: Fields, field: number): number => (of.get(field)?.[0] as number) ?? 0;
  const names = new Map(all(fields, 5).map((each) => [one(each, 1), texts[one(each, 2)]]));
  const places = new Map(
    all(fields, 4).map((each) => {
      const [line = new Map()] = all(each, 4);
      return [one(each, 1), `${names.get(one(line, 1))}:${one(line, 2)}`];
    }),
  );
  expect(all(fields, 1).map((each) => texts[one(each, 1)])).toEqual(
    profile.types.map(([type]) => type),
  );
  expect([one(fields, 9), one(fields, 10)]).toEqual([
    ...[profile.takenMs * 1e6, profile.durationMs * 1e6],
  ]);
  expect(one(fields, 12)).toBe(profile.period);
  return all(fields, 2).map((each) => [
    (each.get(1) ?? []).map((id) => places.get(id as number)).join(" < "),
    ...((each.get(2) ?? []) as number[]),
  ]);
}

const frame = (functionName: string, lineNumber: number) => ({
  callFrame: { functionName, scriptId: "1", url: "file:///a.ts", lineNumber, columnNumber: 0 },
});

describe("a profile", () => {
  test("has the stack of every sample, and the time that it stands for", () => {
    const nodes = [
      { id: 1, ...frame("(root)", -1), children: [2, 4] },
      { id: 2, ...frame("outer", 3), children: [3] },
      { id: 3, ...frame("inner", 300) },
      { id: 4, ...frame("", 5), children: [1, 4] }, // a circle is no stack
    ];
    const taken = { nodes, samples: [3, 3, 2, 4, 1], startTime: 0, endTime: 1 };
    const profile = profileOf(taken, { takenMs: 1_700_000_000_000, durationMs: 2000 });
    expect(readBack(profile)).toEqual([
      ["inner:300 < outer:3", 2, 2_000_000],
      ["outer:3", 1, 1_000_000],
      ["(anonymous):5", 1, 1_000_000],
      ["", 1, 1_000_000],
    ]);
  });

  test("of a moment has neither duration nor period", () => {
    const stack = [{ name: "Map", file: "", line: 0 }];
    const samples = [{ stack, values: [5_000_000_000] }];
    const types = [["inuse_objects", "count"]] as const;
    expect(readBack({ types, samples, takenMs: 5, durationMs: 0, period: 0 })).toEqual([
      ["Map:0", 5_000_000_000],
    ]);
  });
});
