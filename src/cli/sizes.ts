/** Sizes for people, in powers of 1000 as etcdctl shows them: `0 B`, `16 kB`, `2.1 GB`. */

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** One decimal below ten units, none above; bytes are never divided. */
export function humaniseBytes(bytes: number): string {
  if (bytes < 10) return `${bytes} B`;
  let unit = 0;
  let scale = 1;
  while (unit < UNITS.length - 1 && bytes >= scale * 1000) {
    unit++;
    scale *= 1000;
  }
  const tenths = Math.floor((bytes / scale) * 10 + 0.5) / 10;
  const shown = tenths < 10 ? tenths.toFixed(1) : roundHalfEven(tenths);
  return `${shown} ${UNITS[unit]}`;
}

/** As C's and Go's printf round: 20.5 to 20, 21.5 to 22. toFixed() would say 21. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const above = value - floor;
  if (above === 0.5) return floor % 2 === 0 ? floor : floor + 1;
  return Math.round(value);
}
