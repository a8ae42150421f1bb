import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { createLog } from "../../src/observe/log.ts";
import { openOutput, type Rotation } from "../../src/observe/log-output.ts";
import { until } from "../support/processes.ts";

const home = mkdtempSync(join(tmpdir(), "aether-log-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const ROTATION: Rotation = {
  bytesMax: 20,
  ageDaysMax: 0,
  backupsMax: 0,
  localTime: false,
  compress: false,
};
const LINE = "0123456789abcde\n"; // two of them are over the 20 bytes of a file
const BACKUP = /^a-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log$/;

/** A directory and a writer to a.log in it. */
function rotated(name: string, extra: Partial<Rotation>) {
  const folder = mkdtempSync(join(home, name));
  const write = openOutput(join(folder, "a.log"), { ...ROTATION, ...extra });
  const backups = (): string[] => readdirSync(folder).filter((each) => each !== "a.log");
  return { folder, write, backups };
}

describe("log files", () => {
  test("lines are appended to what is there", () => {
    const path = join(home, "appended.log");
    openOutput(path, undefined)("one\n");
    openOutput(path, undefined)("two\n");
    expect(readFileSync(path, "utf8")).toBe("one\ntwo\n");
  });

  test("one that is full is renamed by the time, and a new one begins", () => {
    const { folder, write, backups } = rotated("full", {});
    write(LINE);
    expect(backups()).toEqual([]);
    write(LINE);
    expect(backups()).toHaveLength(1);
    expect(backups()[0]).toMatch(BACKUP);
    expect(readFileSync(join(folder, "a.log"), "utf8")).toBe(LINE);
    for (let i = 0; i < 20; i++) write(LINE); // several in one millisecond, each by its own name
    expect(backups()).toHaveLength(21);
  });

  test("no more are kept than asked for, and none that is too old", () => {
    const { folder, write, backups } = rotated("kept", { backupsMax: 2, ageDaysMax: 3 });
    for (let i = 0; i < 6; i++) write(LINE);
    expect(backups()).toHaveLength(2);
    const [oldest = ""] = backups().sort();
    const longAgo = Date.now() / 1000 - 4 * 86_400;
    utimesSync(join(folder, oldest), longAgo, longAgo);
    write(LINE);
    expect(backups()).not.toContain(oldest);
  });

  test("the older ones are packed, if asked for", async () => {
    const { folder, write, backups } = rotated("packed", { compress: true });
    write(LINE);
    write(LINE);
    await until("it is packed", () => backups().every((name) => name.endsWith(".log.gz")));
    const [packed = ""] = backups();
    expect(gunzipSync(readFileSync(join(folder, packed))).toString()).toBe(LINE);
  });
});

describe("forms", () => {
  const written = (form: "json" | "zap-json" | "zap-console", name: string): string => {
    const path = join(home, name);
    const log = createLog({ level: "info", form, outputs: [path] });
    log.debug("not shown");
    log.warn("a message", { n: 1, big: 2n, list: ["x", "y"], gone: undefined });
    return readFileSync(path, "utf8");
  };

  test("zap's JSON has the place in our source", () => {
    const line = JSON.parse(written("zap-json", "zap.log")) as Record<string, unknown>;
    expect(Object.keys(line)).toEqual(["level", "ts", "caller", "msg", "n", "big", "list"]);
    expect(line).toMatchObject({ level: "warn", n: 1, big: "2", list: ["x", "y"] });
    expect(line["caller"]).toMatch(/^observe\/log-output\.test\.ts:\d+$/);
  });

  test("zap's columns", () => {
    expect(written("zap-console", "console.log").split("\t").slice(1)).toEqual([
      "warn",
      expect.stringMatching(/^observe\/log-output\.test\.ts:\d+$/),
      "a message",
      '{"n":1,"big":"2","list":["x","y"]}\n',
    ]);
  });

  test("ours", () => {
    expect(JSON.parse(written("json", "json.log"))).not.toHaveProperty("caller");
  });
});
