import { describe, expect, test } from "bun:test";
import { DEFAULT_CLUSTER_TOKEN, foundCluster } from "../../src/cluster/founding.ts";

describe("founding", () => {
  test("a default etcd has the ids that everybody knows", () => {
    const founder = { name: "default", peerUrls: ["http://localhost:2380"] };
    const { clusterId, members } = foundCluster([founder], DEFAULT_CLUSTER_TOKEN);
    expect(members[0]?.id.toString(16)).toBe("8e9e05c52164694d");
    expect(clusterId.toString(16)).toBe("cdf818194e3a8c32");
  });
  test("etcd's own test names the cluster of https://localhost:20001 with token new", () => {
    const founder = { name: "a", peerUrls: ["https://localhost:20001"] };
    expect(foundCluster([founder], "new").clusterId).toBe(3801629817145504659n);
  });
  test("the order of founders and of their URLs does not matter", () => {
    const a = { name: "a", peerUrls: ["http://a:1", "http://a:2"] };
    const b = { name: "b", peerUrls: ["http://b:1"] };
    const swapped = { name: "a", peerUrls: ["http://a:2", "http://a:1"] };
    expect(foundCluster([b, swapped], "t").clusterId).toBe(foundCluster([a, b], "t").clusterId);
  });
});
