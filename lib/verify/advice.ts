/** What to do about a damaged, missing or foreign object: a sentence or two for each kind. Pure. */

const COPY = 'fetch the object from a second copy if there is one';

/** Advice for an error with `code` about `object`, a store name. */
export function adviceFor(object: string, code: string): string {
  if (code === 'NEWER_FORMAT') return 'upgrade varve and check again';
  if (code === 'FAILED')
    return 'upgrade varve and check again; if it stays, report it with this message: no object should bring a check to this';
  if (code === 'STORE') return 'see to the disk, its connection and its permissions, then check again';
  if (object === 'genesis') return `${COPY}; without it nothing in the repository opens`;
  switch (object.split('/')[0]) {
    case 'keys':
      return 'open the repository with another passphrase or key file, then: varve key add, and varve key remove for this one';
    case 'packs':
      return `${COPY}; or run varve backup again with --force: chunks that are still in the sources are stored anew for snapshots to come. Files that are not listed here can be restored`;
    case 'index':
      return 'no data is lost: what it said is read from the packs themselves; remove the object, or fetch it from a second copy';
    case 'snapshots':
      return `${COPY}; other snapshots are not touched, unless they are named here too. A new backup stores what is still in the sources`;
    case 'ledger':
      return `${COPY}; if nobody can have damaged the disk, take it for tampering and compare with a second copy before trusting what came after`;
    default:
      return 'it is no object of a repository: find out who put it there, then remove it';
  }
}
