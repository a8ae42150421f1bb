import { expect, test } from "bun:test";
import { exponentialBounds, Metrics } from "../../src/observe/metrics.ts";

test("the text format, families in order, labels sorted and escaped", () => {
  const metrics = new Metrics();
  const puts = metrics.counter("etcd_mvcc_put_total", "Total number of puts.");
  puts.add(2);
  metrics.read("gauge", "a_gauge", "A gauge.", () => 1.5);
  metrics.readMany("counter", "m_total", "Many.", () => [
    [{ b: 'say "x"\n', a: "1" }, 3],
    [{ a: "2" }, 4],
  ]);
  const seconds = metrics.histogram("h_seconds", "A histogram.", exponentialBounds(0.001, 2, 3));
  for (const value of [0.0005, 0.002, 0.0021, 5]) seconds.observe(value);
  expect(metrics.text()).toBe(`# HELP a_gauge A gauge.
# TYPE a_gauge gauge
a_gauge 1.5
# HELP etcd_mvcc_put_total Total number of puts.
# TYPE etcd_mvcc_put_total counter
etcd_mvcc_put_total 2
# HELP h_seconds A histogram.
# TYPE h_seconds histogram
h_seconds_bucket{le="0.001"} 1
h_seconds_bucket{le="0.002"} 2
h_seconds_bucket{le="0.004"} 3
h_seconds_bucket{le="+Inf"} 4
h_seconds_sum 5.0046
h_seconds_count 4
# HELP m_total Many.
# TYPE m_total counter
m_total{a="1",b="say \\"x\\"\\n"} 3
m_total{a="2"} 4
`);
});

test("a name is registered once", () => {
  const metrics = new Metrics();
  metrics.counter("x_total", "X.");
  expect(() => metrics.counter("x_total", "X.")).toThrow("registered twice");
});
