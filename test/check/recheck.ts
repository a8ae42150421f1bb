/**
 * Checks a history that a failing run has saved (history.ts, toLines), again:
 *   bun test/check/recheck.ts FILE
 */
import { checkHistory } from "./check.ts";
import { fromLines } from "./history.ts";

const [path] = process.argv.slice(2);
if (path === undefined) {
  console.error("usage: bun test/check/recheck.ts FILE");
  process.exit(2);
}
const history = fromLines(await Bun.file(path).text());
const complaints = checkHistory(history);
const { calls, watches, holds } = history;
console.log(`${calls.length} calls, ${watches.length} watches, ${holds.length} holds`);
for (const complaint of complaints) console.log(complaint);
if (complaints.length > 0) process.exit(1);
console.log("nothing is wrong with it");
