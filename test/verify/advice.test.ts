/** Every kind of object has advice of its own, and advice that fits the reason goes before it. */
import t from 'tap';
import { adviceFor } from '../../lib/verify/advice.js';

t.test('what to do depends on what is damaged', async (t) => {
  for (const [object, advice] of [
    ['genesis', /second copy.*without it nothing.*opens/],
    ['keys/00ff', /another passphrase or key file.*varve key add.*varve key remove/],
    ['packs/00/00ff', /second copy.*varve backup again with --force.*can be restored/],
    ['index/00ff', /no data is lost.*remove the object/],
    ['snapshots/00ff', /second copy.*other snapshots are not touched.*new backup/],
    ['ledger/00ff/0000000000000001', /second copy.*tampering.*compare/],
    ['packs.old', /no object of a repository.*remove it/],
  ] as const)
    for (const code of ['CORRUPT', 'NOT_FOUND']) t.match(adviceFor(object, code), advice, `${object} ${code}`);
});

t.test('what a newer program wrote, or the disk does not give, is not taken for damage', async (t) => {
  for (const object of ['genesis', 'packs/00/00ff', 'index/00ff', 'ledger/00ff/0000000000000001']) {
    t.match(adviceFor(object, 'NEWER_FORMAT'), /^upgrade varve/, object);
    const unreadable = adviceFor(object, 'STORE');
    t.match(unreadable, /disk.*permissions.*check again/, object);
    t.notMatch(unreadable, /remove|--force/, 'nothing is thrown away for it');
  }
});
