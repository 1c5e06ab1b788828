/**
 * Snapshots that a command had to leave out because they do not open: each is named on stderr, and the command ends with the status of that when it has done the
 * rest. One that only wants a newer reader key is no damage.
 */
import { idHex, type LeftOut, shortHex } from '../lib/index.js';
import { Exit } from './exit.js';
import { localTime, rfc3339 } from './human.js';
import type { Run } from './run.js';

/** For `onLeftOut` of selections; `ids` takes the id, hex, of each. One that several selections meet is named once. */
export function tellLeftOut(run: Run, ids: string[] = []): (leftOut: LeftOut) => void {
  return ({ record, error }) => {
    const id = idHex(record.id);
    const short = shortHex(record.id);
    if (ids.includes(id)) return;
    ids.push(id);
    const { object } = error.details;
    const prefix = typeof object === 'string' ? `${object}: ` : '';
    const reason = prefix !== '' && error.message.startsWith(prefix) ? error.message.slice(prefix.length) : error.message;
    const isDamage = error.code === 'CORRUPT';
    run.out.warn(
      `snapshot ${short} of ${localTime(record.received)} is left out: ${reason}${isDamage ? '. To know more: varve check' : ''}`,
      { snapshot: id, short_id: short, time: rfc3339(record.received), writer: idHex(record.entry.author), error: error.code },
    );
    if (error.code !== 'ROLE') run.status = Exit.integrity;
    else if (run.status === Exit.ok) run.status = Exit.role;
  };
}
