/** Whose entries count and how far: retirements that contradict a chain, or each other, are noticed by everybody, by a machine too that remembers nothing. */
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { authorOf, publicKeyOf } from '../../lib/crypto/sign.js';
import { entryName } from '../../lib/format/names.js';
import { EntryType } from '../../lib/format/payload.js';
import { asId } from '../../lib/id.js';
import { appendEntry } from '../../lib/ledger/append.js';
import { initRepository } from '../../lib/ledger/init.js';
import { loadLedger } from '../../lib/ledger/ledger.js';
import { certifyWriter, newWriterKey } from '../../lib/ledger/roles.js';
import { openRepository } from '../../lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { MemoryStore } from '../../lib/store/memory.js';
import { verifyLedger } from '../../lib/verify/verify-ledger.js';

t.test(
  'a retirement names the end of a chain: all with the least count must agree with it, also when nothing is left of it',
  async (t) => {
    const store = new MemoryStore();
    const { place, keyring } = await initRepository(store, { label: 'test', policy: DEFAULT_POLICY });
    const open = () => openRepository(place, keyring, '');
    const host = newWriterKey(open());
    await certifyWriter(open(), host);
    const author = authorOf(publicKeyOf(host.writer!.seed));
    let sec = 1_700_000_000;
    for (let i = 0; i < 3; i++)
      await appendEntry(open(), host.writer!.seed, { sec: sec++, nsec: 0 }, () => ({
        type: EntryType.incident,
        code: 'x',
        detail: '',
      }));
    const hashesOf = async (of: Uint8Array) =>
      (await loadLedger(open())).chains.find((chain) => toHex(chain.author) === toHex(of))!.hashes;
    const hashes = await hashesOf(author);
    const admin = authorOf(publicKeyOf(keyring.adminSeed!));

    /** Appends a retirement. @returns what takes it away again */
    const retire = async (of: Uint8Array, count: number, head: Uint8Array): Promise<() => Promise<void>> => {
      const payload = { type: EntryType.retire, author: of, count, head, reason: '' } as const;
      const { sequence } = await appendEntry(open(), keyring.adminSeed, { sec: sec++, nsec: 0 }, () => payload);
      return () => store.remove(entryName(admin, sequence));
    };
    const mustBeRefused = async (what: string): Promise<void> => {
      await t.rejects(loadLedger(open()), { code: 'ROLLED_BACK', message: /when its author was retired/ }, what);
      const { errors } = await verifyLedger(open());
      t.match(
        errors.map(({ message }) => message),
        [/when its author was retired/],
        `${what}: said by the full check too`,
      );
    };
    const zeros = new Uint8Array(32);
    const stranger = new Uint8Array(16).fill(1);

    await retire(author, 3, zeros);
    await mustBeRefused('a head that is not there');
    await retire(author, 2, hashes[1]!);
    await loadLedger(open());
    t.pass('of several the least count holds, and the others are not looked at');
    const undo = await retire(author, 2, hashes[0]!);
    await mustBeRefused('two of one count that contradict each other');
    await undo();
    await retire(stranger, 0, zeros);
    await loadLedger(open());
    t.pass('a stranger who never wrote');
    const again = await retire(stranger, 0, hashes[0]!);
    await mustBeRefused('a stranger with a head');
    await again();
    for (let i = 0; i < 3; i++) await store.remove(entryName(asId('author', author), i));
    await mustBeRefused('nothing is left of the chain');
  },
);
