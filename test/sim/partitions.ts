/** Shapes of broken networks: which directions of which links are cut. */
import type { Prng } from "../../src/base/prng.ts";
import type { SimNode } from "./node.ts";

/** A direction that is cut. */
export type Cut = readonly [from: SimNode, to: SimNode];

function both(a: SimNode, b: SimNode): Cut[] {
  return [
    [a, b],
    [b, a],
  ];
}

/** One member hears nobody and is heard by nobody. */
export function isolated(node: SimNode, nodes: readonly SimNode[]): Cut[] {
  return nodes.filter((other) => other !== node).flatMap((other) => both(node, other));
}

/** One member hears everybody and is heard by nobody. */
export function muted(node: SimNode, nodes: readonly SimNode[]): Cut[] {
  return nodes.filter((other) => other !== node).map((other) => [node, other]);
}

/** Two sides. */
export function halves(random: Prng, nodes: readonly SimNode[]): Cut[] {
  const side = new Set(nodes.filter(() => random.chance(50)));
  return pairsOf(nodes)
    .filter(([a, b]) => side.has(a) !== side.has(b))
    .flatMap(([a, b]) => both(a, b));
}

/** One member only speaks, or only hears; or one link has one direction. */
export function oneWay(random: Prng, nodes: readonly SimNode[]): Cut[] {
  const node = random.pick(nodes);
  const others = nodes.filter((other) => other !== node);
  if (others.length === 0) return [];
  const kind = random.below(3);
  if (kind === 0) return muted(node, nodes);
  if (kind === 1) return others.map((other) => [other, node]);
  return [[node, random.pick(others)]];
}

/** Each hears its two neighbours only. */
export function ring(nodes: readonly SimNode[]): Cut[] {
  return pairsOf(nodes).flatMap(([a, b]) => {
    const apart = Math.abs(nodes.indexOf(a) - nodes.indexOf(b));
    return apart === 1 || apart === nodes.length - 1 ? [] : both(a, b);
  });
}

/** Two sides that do not hear each other, and one member that both hear (Cloudflare, 2020). */
export function bridge(random: Prng, nodes: readonly SimNode[]): Cut[] {
  const middle = random.pick(nodes);
  const rest = nodes.filter((node) => node !== middle);
  const side = new Set(rest.filter((_, i) => i % 2 === 0));
  return pairsOf(rest)
    .filter(([a, b]) => side.has(a) !== side.has(b))
    .flatMap(([a, b]) => both(a, b));
}

function pairsOf(nodes: readonly SimNode[]): (readonly [SimNode, SimNode])[] {
  return nodes.flatMap((a, i) => nodes.slice(i + 1).map((b) => [a, b] as const));
}
