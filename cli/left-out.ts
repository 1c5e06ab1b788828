/**
 * What a command had to leave out. Snapshots that do not open: each is named on stderr, and the command ends with the status of that when it has done the rest;
 * one that only wants a newer reader key is no damage. And index objects and packs whose directories cannot be taken up: they are named too, but the status is
 * that of what could not be done without them.
 */
import { idHex, type LeftOut, shortHex, type VarveError } from '../lib/index.js';
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

/** For `onDamaged` of whatever reads the index: names each object once. */
export function tellDamaged(run: Run): (error: VarveError) => void {
  const told = new Set<string>();
  return (error) => {
    if (told.has(error.message)) return;
    told.add(error.message);
    const { object } = error.details;
    const isHint = typeof object === 'string' && object.startsWith('index/');
    const instead = isHint ? '; this index object is passed over, and packs are asked themselves' : '';
    run.out.warn(`${error.message}${instead}. To know more: varve check`, {
      ...(typeof object === 'string' ? { object } : {}),
      error: error.code,
    });
  };
}
