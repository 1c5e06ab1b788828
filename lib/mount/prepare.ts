/** Begins what a mount needs before its repository is known: a thread that loads the code it will serve with. Imports as little as it can. */
import { workerFile } from '../native.js';
import { startEarly } from './kernel-crew.js';

/** The module that opens a view in a serving thread, below the package. */
export const VIEW_FILE = 'lib/view/file-system-thread';

/** To be called as early as possible by a process that will mount with the kernel driver. A mount that never comes costs nothing but the thread. */
export function prepareMount(): void {
  startEarly(workerFile(VIEW_FILE));
}
