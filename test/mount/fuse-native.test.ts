/** The fuse-native driver on real mounts: the contract of all drivers, less what it says it cannot show. */
import { fuseNativeDriver } from '../../lib/mount/fuse-native.js';
import { mountContract } from '../contract/mount.js';

mountContract(fuseNativeDriver);
