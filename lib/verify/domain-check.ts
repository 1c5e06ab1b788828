/**
 * Whose domain is whose (docs/format.md §14): that a snapshot's packs are of its manifest's domain, its stream that of its host and label, its domain one
 * that its writer was certified for, and the writer's key in hand one of this repository's. Reads nothing; works on what the rest of the check has open.
 */
import { constantTimeEqual, equalBytes, toHex } from '../bytes.js';
import type { ChunkIndex } from '../chunk-index/chunk-index.js';
import { domainSecret } from '../crypto/roles.js';
import { authorOf, publicKeyOf } from '../crypto/sign.js';
import { manifestName } from '../format/names.js';
import { decodePackHeader } from '../format/pack.js';
import { certifiedDomains } from '../ledger/authority.js';
import type { Snapshot } from '../ledger/snapshots.js';
import { streamId } from '../ledger/stream.js';
import type { Repository } from '../repository/repository.js';
import type { ReadableLedger } from './ledger-walk.js';
import type { Findings } from './report.js';

export class DomainCheck {
  readonly #repository: Repository;
  readonly #findings: Findings;
  /** Of every author whom a cert names: the domains, hex. Admins may use any, and are not in it. */
  readonly #certified: ReadonlyMap<string, ReadonlySet<string>>;
  readonly #admins: ReadonlySet<string>;
  /** Domain of each pack that is known, both hex. */
  readonly #packs = new Map<string, string>();

  constructor(repository: Repository, ledger: ReadableLedger, index: ChunkIndex, findings: Findings) {
    this.#repository = repository;
    this.#findings = findings;
    this.#admins = new Set(ledger.chains.filter(({ role }) => role === 'admin').map(({ author }) => toHex(author)));
    this.#certified = certifiedDomains(ledger.entries);
    for (const { packIndex, packId } of index.packs())
      this.#packs.set(toHex(packId), toHex(decodePackHeader(index.header(packIndex), 'pack').domain));
  }

  /** Whether this author may write to `domain`. Undefined for one that nobody certified, which is reported with the ledger. */
  #mayWrite(author: Uint8Array, domain: Uint8Array): boolean | undefined {
    const hex = toHex(author);
    if (this.#admins.has(hex)) return true;
    return this.#certified.get(hex)?.has(toHex(domain));
  }

  /** Checks a snapshot whose manifest opens; `pins` are its joined pack ids. */
  check({ id, entry, envelope, body, claimedHost }: Snapshot, pins: Uint8Array): void {
    const name = manifestName(id);
    const affected = { snapshot: toHex(id), path: '/' };
    const wrong = (message: string): void => this.#findings.error(name, 'CORRUPT', message, affected);
    const domain = toHex(envelope.domain);
    for (let at = 0; at < pins.byteLength; at += 32) {
      const of = this.#packs.get(toHex(pins.subarray(at, at + 32)));
      if (of !== undefined && of !== domain) {
        wrong('pins a pack of another domain than its own');
        break;
      }
    }
    if (!equalBytes(envelope.stream, streamId(this.#repository.domainKeys(envelope.domain).names, claimedHost, body.label)))
      wrong('its stream does not follow from its host and label');
    if (this.#mayWrite(entry.author, envelope.domain) === false) wrong('is of a domain that no certificate gives to its writer');
  }

  /** Checks the key that the repository was opened with: what it would write must be readable by the reader's key. */
  checkKeyring(): void {
    const { keyring, genesis } = this.#repository;
    const { root, writer } = keyring;
    if (writer === null) return;
    if (root !== null && !constantTimeEqual(domainSecret(root, genesis.salt, writer.domain), writer.domainSecret))
      this.#findings.error('keys', 'CORRUPT', 'the key in use has a domain secret that its root secret does not give');
    if (this.#mayWrite(authorOf(publicKeyOf(writer.seed)), writer.domain) !== true)
      this.#findings.warning('keys', 'the key in use is of a writer that no certificate names for its domain');
  }
}
