/** SIGINT and SIGTERM: the first asks the work to stop, the second ends the process on the spot. */
import { Exit } from './exit.js';

/** A signal that aborts when the person, or the system, asks the process to end. */
export function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(Exit.interrupted);
    controller.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return controller.signal;
}
