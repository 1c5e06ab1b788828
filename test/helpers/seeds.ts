/** Runs a property over seeds: VARVE_SEED=N repeats one, VARVE_SEEDS=N runs so many. */
import type { Test } from 'tap';

const ONLY = process.env.VARVE_SEED;

export const seedCount = (usual: number): number => (ONLY === undefined ? Number(process.env.VARVE_SEEDS ?? usual) : 1);

/** @param check - says what is wrong with a seed */
export async function forSeeds(
  t: Test,
  usual: number,
  check: (seed: number) => Promise<string | undefined> | string | undefined,
): Promise<void> {
  const from = ONLY === undefined ? 0 : Number(ONLY);
  const to = from + seedCount(usual);
  const failures: string[] = [];
  for (let seed = from; seed < to && failures.length < 5; seed++) {
    let wrong: string | undefined;
    try {
      wrong = await check(seed);
    } catch (error) {
      wrong = error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
    if (wrong !== undefined) failures.push(`VARVE_SEED=${seed}: ${wrong}`);
    if (ONLY === undefined && to > 50_000 && (seed + 1) % 10_000 === 0)
      t.comment(`${seed + 1} seeds, ${failures.length} failures`);
  }
  t.same(failures, []);
}
