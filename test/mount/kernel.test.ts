/** The kernel driver on real mounts: the contract of all drivers. */
import { kernelDriver } from '../../lib/mount/kernel.js';
import { mountContract } from '../contract/mount.js';

mountContract(kernelDriver);
