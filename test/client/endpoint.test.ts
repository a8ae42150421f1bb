import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { BACKOFF_MS_MAX, BACKOFF_MS_MIN, Endpoint } from "../../src/client/endpoint.ts";
import { parseAddress } from "../../src/net/address.ts";
import { Network } from "../../src/net/network.ts";
import { echoServer } from "../net/echo-server.ts";
import { until } from "../net/until.ts";

/** An endpoint on a clock that only we move. */
function endpointTo(url: string): { endpoint: Endpoint; clock: { ms: number } } {
  const clock = { ms: 1000 };
  const endpoint = new Endpoint(parseAddress(url), {
    network: new Network({ nowMs: () => clock.ms }),
    random: new Prng(7),
    connection: {},
    tls: undefined,
    dialTimeoutMs: 1000,
  });
  return { endpoint, clock };
}

async function nobody(): Promise<string> {
  const server = await echoServer();
  await server.listener.stop(0);
  return server.url;
}

describe("endpoint", () => {
  test("waits twice as long after each failure, up to a bound, a fifth more or less", async () => {
    const { endpoint, clock } = endpointTo(await nobody());
    for (let plainMs = BACKOFF_MS_MIN, i = 0; i < 10; i++) {
      await expect(endpoint.connect()).rejects.toThrow(endpoint.text);
      const pauseMs = endpoint.retryAtMs - clock.ms;
      expect(pauseMs).toBeGreaterThanOrEqual(plainMs * 0.8);
      expect(pauseMs).toBeLessThanOrEqual(plainMs * 1.2);
      plainMs = Math.min(plainMs * 2, BACKOFF_MS_MAX);
      clock.ms = endpoint.retryAtMs;
    }
    expect(String(endpoint.reason)).toContain("cannot connect");
  });

  test("one that is lost at once waits; one that was good for a while does not", async () => {
    const server = await echoServer();
    const { address } = server.listener;
    const { endpoint, clock } = endpointTo(server.url);
    await endpoint.connect();
    await server.listener.stop(0);
    await until(() => endpoint.retryAtMs > 0, "it waits");
    const firstMs = endpoint.retryAtMs - clock.ms;
    const again = await echoServer({ address });
    clock.ms = endpoint.retryAtMs;
    const [one, other] = await Promise.all([endpoint.connect(), endpoint.connect()]);
    expect(one).toBe(other); // one dial for all who wait
    clock.ms += 1000;
    await again.listener.stop(0);
    await until(() => endpoint.ready === undefined, "it is lost");
    expect(endpoint.retryAtMs).toBe(0);
    await expect(endpoint.connect()).rejects.toThrow();
    // The good time made its failures forgotten: the first pause again, not the third.
    expect(endpoint.retryAtMs - clock.ms).toBeLessThan(firstMs * 1.5);
  });

  test("a closed one refuses, and ends what it had", async () => {
    const server = await echoServer();
    const { endpoint } = endpointTo(server.url);
    await endpoint.connect();
    endpoint.close();
    await until(() => server.listener.connectionCount === 0, "the server sees it");
    await expect(endpoint.connect()).rejects.toThrow("closed");
    const late = endpointTo(server.url);
    const dial = late.endpoint.connect();
    late.endpoint.close();
    await expect(dial).rejects.toThrow();
    await until(() => server.listener.connectionCount === 0, "nothing is left");
    await server.listener.stop(0);
  });
});
