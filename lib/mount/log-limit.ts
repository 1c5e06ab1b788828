/**
 * Lets a few messages through and counts the rest, so that one damaged pack read in a loop cannot flood a log.
 * Pure but for the clock it is given.
 */

const BURST = 20;
const PERIOD_MS = 10_000;

/**
 * Wraps `onLog`: at most 20 messages in 10 seconds; the first one after a flood is preceded by how many were dropped.
 *
 * @param nowMs - a clock that does not go backwards, in milliseconds
 */
export function limitLog(
  onLog: (message: string) => void,
  nowMs: () => number = () => performance.now(),
): (message: string) => void {
  let since = Number.NEGATIVE_INFINITY;
  let sent = 0;
  let dropped = 0;
  return (message) => {
    const now = nowMs();
    if (now - since >= PERIOD_MS) {
      if (dropped > 0) onLog(`${dropped} more messages like these were left out`);
      since = now;
      sent = 0;
      dropped = 0;
    }
    if (sent < BURST) {
      sent++;
      onLog(message);
    } else {
      dropped++;
    }
  };
}
