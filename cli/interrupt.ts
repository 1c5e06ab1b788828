/** SIGINT, SIGTERM and SIGHUP: the first asks the work to stop; of the former two, the second ends the process on the spot. */
/** A signal that aborts when the person, or the system, asks the process to end. */
export function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  const stop = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted) {
      // Not process.exit(): it would wait for threads that serve a mount.
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else controller.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  // A terminal that is closed sends it twice: from the kernel, and from the shell.
  process.on('SIGHUP', () => controller.abort());
  return controller.signal;
}
