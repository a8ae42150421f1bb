/** The clocks and the chance of this process, for the drivers. */
import type { Clock, Random } from "../base/ports.ts";

export const clock: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };

export const random: Random = {
  below: (bound) => Math.floor(Math.random() * bound),
  id63: () => {
    const [drawn = 0n] = crypto.getRandomValues(new BigUint64Array(1));
    const id = drawn & 0x7fff_ffff_ffff_ffffn;
    return id === 0n ? 1n : id;
  },
};
