/** Which segments to merge, and which are superfluous. Pure: it sees row counts and names only. */

/** Segments of one size class that may exist before they are merged into one. */
export const SEGMENTS_PER_TIER = 8;
const SMALLEST_TIER_ROWS = 4096;

/** Size class: rows up to 4096 are class 0, and every further factor of eight is one more. */
export function tierOf(rowCount: number): number {
  let tier = 0;
  for (let limit = SMALLEST_TIER_ROWS; rowCount > limit; limit *= SEGMENTS_PER_TIER) tier++;
  return tier;
}

/** The lowest size class that holds too many segments, or undefined. */
export function chooseMerge<T extends { rowCount: number }>(segments: readonly T[]): readonly T[] | undefined {
  const tiers = new Map<number, T[]>();
  for (const segment of segments) {
    const tier = tierOf(segment.rowCount);
    tiers.set(tier, [...(tiers.get(tier) ?? []), segment]);
  }
  const crowded = [...tiers].filter(([, members]) => members.length > SEGMENTS_PER_TIER);
  return crowded.sort(([a], [b]) => a - b)[0]?.[1];
}

/** Segments whose sources are all covered by the ones kept; of several that cover the same, those that cover more are kept. */
export function superfluous<T extends { covered: readonly string[] }>(segments: readonly T[]): readonly T[] {
  const seen = new Set<string>();
  return [...segments]
    .sort((a, b) => b.covered.length - a.covered.length)
    .filter((segment) => {
      const adds = segment.covered.length === 0 ? false : segment.covered.some((name) => !seen.has(name));
      for (const name of segment.covered) seen.add(name);
      return !adds;
    });
}
