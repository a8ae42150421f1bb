/** The reader of metrics can complain. */
import { expect, test } from "bun:test";
import { parseMetrics } from "./prometheus.ts";

const HEAD = "# HELP a What a is.\n# TYPE a gauge\n";

test("a well-formed text is read", () => {
  const { samples, complaints } = parseMetrics(
    `${HEAD}a{x="1",y="q\\"\\\\\\n"} 1.5e-3\na 2\n# HELP h H.\n# TYPE h histogram\n` +
      'h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 3\nh_sum 4.5\nh_count 3\n',
  );
  expect(complaints).toEqual([]);
  expect(samples.get("a")).toBe(2);
  expect(samples.get('h_bucket{le="+Inf"}')).toBe(3);
});

const wrong: readonly (readonly [string, string])[] = [
  [`${HEAD}a 1`, "no line feed"],
  ["b 1\n", "b: no TYPE"],
  [`${HEAD}a 1\na 1\n`, "a: twice"],
  [`${HEAD}a x\n`, "not understood"],
  [`${HEAD}a{x=1} 1\n`, "not understood"],
  [`${HEAD}\na 1\n`, "not understood"],
  [`${HEAD}a 1\n# HELP b B.\n# TYPE b gauge\nb 1\na{x="1"} 1\n`, "not in one piece"],
  ["# HELP c C.\n# TYPE c counter\nc -1\n", "a counter of -1"],
  [
    "# HELP h H.\n# TYPE h histogram\n" +
      'h_bucket{le="1"} 4\nh_bucket{le="+Inf"} 3\nh_sum 1\nh_count 3\n',
    "fewer than",
  ],
  ['# HELP h H.\n# TYPE h histogram\nh_bucket{x="1",le="1"} 4\n', 'h{x="1"}: no +Inf'],
  ["# HELP h H.\n# TYPE h histogram\n", "h: no buckets"],
];
for (const [text, complaint] of wrong) {
  test(`complains: ${complaint} (${JSON.stringify(text.slice(-20))})`, () => {
    expect(parseMetrics(text).complaints.join("\n")).toContain(complaint);
  });
}
