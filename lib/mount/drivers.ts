/** The mount drivers by name, and which one is used when nobody names one: the kernel driver wherever there is Linux. */
import type { MountDriver } from './driver.js';
import { fuseNativeDriver } from './fuse-native.js';
import { kernelDriver } from './kernel.js';

export const DRIVERS: readonly MountDriver[] = [kernelDriver, fuseNativeDriver];

/**
 * The driver called `name`, or this platform's default. It may still be unavailable: ask it.
 *
 * @throws RangeError when there is no driver of that name
 */
export function mountDriver(name?: string): MountDriver {
  const wanted = name ?? (process.platform === 'linux' ? 'kernel' : 'fuse-native');
  const driver = DRIVERS.find((candidate) => candidate.name === wanted);
  if (driver === undefined)
    throw new RangeError(`no mount driver ${wanted}; there are ${DRIVERS.map((known) => known.name).join(' and ')}`);
  return driver;
}
