/**
 * The public API: verbs on a repository, and the types they speak. What it exports may be relied on; what stands below in lib/ may change.
 * A verb's implementation is loaded when it is first called, so importing this file costs next to nothing, and every verb is asynchronous.
 *
 *     const store = await openStore('/srv/backup');
 *     const place = await locateRepository(store);
 *     const { keyring } = await unlockWithPassphrase(place, passphrase);
 *     const repository = await openRepository(place, keyring, cacheDir);
 *     const onLeftOut = ({ record, error }: LeftOut) => console.error(idHex(record.id), error.message);
 *     for (const snapshot of await selectSnapshots(repository, { onLeftOut })) console.log(idHex(snapshot.id), snapshot.body.host);
 */

import type * as DescribeFile from './browse/describe-object.js';
import type * as DiffFile from './browse/diff-snapshots.js';
import type * as DumpFileFile from './browse/dump-file.js';
import type * as DumpTarFile from './browse/dump-tar.js';
import type * as FindFile from './browse/find-paths.js';
import type * as ListTreeFile from './browse/list-tree.js';
import type * as OpenTreeFile from './browse/open-tree.js';
import type * as StatsFile from './browse/repository-stats.js';
import type { Keyring } from './format/key-slot.js';
import type * as BackupFile from './ingest/backup.js';
import type * as ExcludeFile from './ingest/exclude.js';
import type * as PatternsFile from './ingest/patterns.js';
import type * as AcceptForkFile from './ledger/accept-fork.js';
import type * as EntryRecordFile from './ledger/entry-record.js';
import type { Initialized, InitOptions } from './ledger/init.js';
import type * as LedgerFile from './ledger/ledger.js';
import type * as RolesFile from './ledger/roles.js';
import type * as RotationFile from './ledger/rotation.js';
import type * as ScopeFile from './ledger/scope.js';
import type * as SelectFile from './ledger/select.js';
import type * as SlotsFile from './ledger/slots.js';
import type * as SnapshotsFile from './ledger/snapshots.js';
import type { SnapshotRecord } from './ledger/snapshots.js';
import type * as StreamsFile from './ledger/streams.js';
import type * as TagsFile from './ledger/tags.js';
import type * as MountFile from './mount/mount-repository.js';
import type * as UnmountFile from './mount/unmount.js';
import type * as KeysFile from './repository/keys.js';
import type * as RepositoryFile from './repository/repository.js';
import type * as RestoreFile from './restore/restore.js';
import type * as ForgetFile from './retention/forget.js';
import type * as HoldsFile from './retention/holds.js';
import type * as PruneFile from './retention/prune.js';
import type * as SetPolicyFile from './retention/set-policy.js';
import type * as OpenStoreFile from './store/open.js';
import type { Store } from './store/store.js';
import type * as CertifyFile from './vault/certify.js';
import type * as ServerFile from './vault/server.js';
import type * as StatusFile from './vault/status.js';
import type * as StdioFile from './vault/stdio.js';
import type * as CheckFile from './verify/check.js';
import type * as VerifyLedgerFile from './verify/verify-ledger.js';

export type { Change, ChangeKind, DiffOptions } from './browse/diff-snapshots.js';
export type { Write } from './browse/dump-file.js';
export type { DumpTarOptions } from './browse/dump-tar.js';
export type { FindOptions, Found, Unreadable } from './browse/find-paths.js';
export type { ListOptions, Located } from './browse/list-tree.js';
export type { OpenTree, OpenTrees, OpenTreesOptions } from './browse/open-tree.js';
export type { RepositoryStats } from './browse/repository-stats.js';
export { asUtf8, compareBytes, equalBytes, fromHex, lossyUtf8, toHex, utf8 } from './bytes.js';
export * from './errors.js';
export { makeFolders, makeTemporaryFolder, strangersIn, tagCache } from './folders.js';
export type { Keyring } from './format/key-slot.js';
export type { Payload, PolicyPayload, RetentionClass } from './format/payload.js';
export type { Timestamp } from './format/time.js';
export type { DirectoryEntry, Entry, EntryKind, FileEntry, Owner, SymlinkEntry, Totals } from './format/tree.js';
export {
  type AuthorId,
  type DomainId,
  idFromHex,
  idHex,
  type RepositoryId,
  type SnapshotId,
  type StreamId,
  shortHex,
} from './id.js';
export type { BackupOptions, BackupReport, StreamSource } from './ingest/backup.js';
export type { Exclusion, ExclusionRules } from './ingest/exclude.js';
export type { PathPatterns, Pattern } from './ingest/patterns.js';
export type { FileState, Omission } from './ingest/walk-context.js';
export type { Initialized, InitOptions } from './ledger/init.js';
export type { Chain, Ledger } from './ledger/ledger.js';
export type { AuthorRecord } from './ledger/roles.js';
export type { LeftRotation, RotatedKey, Rotation } from './ledger/rotation.js';
export type { LeftOut, SelectOptions } from './ledger/select.js';
export type { ListedSlot, SlotState } from './ledger/slots.js';
export type { Snapshot, SnapshotFilter, SnapshotRecord } from './ledger/snapshots.js';
export type { StreamRecord } from './ledger/streams.js';
export type { TagOptions } from './ledger/tags.js';
export type { Mounted } from './mount/driver.js';
export type { MountRepositoryOptions } from './mount/mount-repository.js';
export { printable, printableBytes, printableJson } from './printable.js';
export type { KeySlot, Role, SealOptions } from './repository/keys.js';
export type { Repository, RepositoryPlace } from './repository/repository.js';
export type {
  Matcher,
  Overwrite,
  RestoreAction,
  RestoreOptions,
  RestoreProblem,
  RestoreProgress,
  RestoreReport,
} from './restore/options.js';
export type { PlacedHold } from './retention/holds.js';
export type { AnnounceReport, PruneOptions, SweepReport } from './retention/prune.js';
export type { Fate, PackFate, PrunePlan, SnapshotFate } from './retention/prune-plan.js';
export type { Policy, PolicyChange, PolicyInForce } from './retention/set-policy.js';
export { holdName, slotNames, whyKept } from './retention/why-kept.js';
export type { Store } from './store/store.js';
export type { VaultRole } from './store/vault-protocol.js';
export type { Vault, VaultOptions } from './vault/server.js';
export type { RepositoryStatus } from './vault/status.js';
export type { CheckError, CheckOptions, CheckReport, Subset } from './verify/check.js';
export type { LedgerReport } from './verify/verify-ledger.js';

// ---- repositories ----------------------------------------------------------------------------------------------------------

/**
 * Opens the store at a path, a `file://` URL, or behind a vault (`vault:/path.sock`, `ssh://user@host/path`); `create` makes the directory, `meanwhile` is called
 * once while the other end is waited for.
 *
 * @throws NoRepositoryError, StoreError
 */
export const openStore: typeof OpenStoreFile.openStore = async (...args) => (await import('./store/open.js')).openStore(...args);

/**
 * Creates a repository in an empty store, with a key slot when `passphrase` is given, and the default retention policy unless another is.
 *
 * @throws RepositoryExistsError, StoreError
 */
export async function initRepository(
  store: Store,
  { stateDir, onStateUnusable, ...options }: Omit<InitOptions, 'policy'> & Partial<Pick<InitOptions, 'policy'>> & OpenOptions,
): Promise<Initialized> {
  const [{ initRepository: init }, { NEW_POLICY }] = await Promise.all([
    import('./ledger/init.js'),
    import('./retention/slots.js'),
  ]);
  const made = await init(store, { policy: NEW_POLICY, ...options });
  // A new repository is remembered from its first entries on.
  if (stateDir !== undefined)
    await loadLedger(
      await openRepository(made.place, made.keyring, '', {
        stateDir,
        ...(onStateUnusable === undefined ? {} : { onStateUnusable }),
      }),
    );
  return made;
}

/** Reads and verifies the genesis object: what can be known without a key. @throws NoRepositoryError, CorruptError, BadSignatureError */
export const locateRepository: typeof RepositoryFile.locateRepository = async (...args) =>
  (await import('./repository/repository.js')).locateRepository(...args);

export interface OpenOptions {
  /**
   * Folder (shared by all repositories) in which this machine remembers the ledger as it was last seen, so that a repository that was rolled back is refused.
   * Absent, nothing is remembered. Null: there is no such folder, though there should be; reading goes on, what signs is refused.
   */
  readonly stateDir?: string | null;
  /** Called once when that folder cannot be used: reading goes on without memory, writing fails. Absent, everything fails. */
  readonly onStateUnusable?: (error: Error) => void;
}

/** Joins a located repository with the keys in hand; `cacheDir` is a folder that may be deleted at any time. @throws WrongKeyError */
export async function openRepository(
  place: RepositoryFile.RepositoryPlace,
  keyring: Keyring,
  cacheDir: string,
  { stateDir, onStateUnusable }: OpenOptions = {},
): Promise<RepositoryFile.Repository> {
  const { openRepository: open } = await import('./repository/repository.js');
  if (stateDir === undefined) return open(place, keyring, cacheDir);
  const { rememberHeads } = await import('./ledger/heads.js');
  const onUnusable = onStateUnusable === undefined ? {} : { onUnusable: onStateUnusable };
  return open(place, keyring, cacheDir, { heads: rememberHeads(place, stateDir, onUnusable) });
}

// ---- keys ------------------------------------------------------------------------------------------------------------------

/** Tries a passphrase on every key slot (half a second each). @throws WrongKeyError */
export const unlockWithPassphrase: typeof RotationFile.unlockCounting = async (...args) =>
  (await import('./ledger/rotation.js')).unlockCounting(...args);

/** Every key slot that a passphrase opens, with what it holds. */
export const slotsOf: typeof KeysFile.slotsOf = async (...args) => (await import('./repository/keys.js')).slotsOf(...args);

/** Opens a key file's text. @throws WrongKeyError */
export const unlockWithKeyFile: typeof KeysFile.unlockWithKeyFile = async (...args) =>
  (await import('./repository/keys.js')).unlockWithKeyFile(...args);

/** Whether a key file is protected by a passphrase. @throws WrongKeyError */
export async function keyFileNeedsPassphrase(text: Uint8Array, file: string): Promise<boolean> {
  return (await import('./repository/keys.js')).keyFileNeedsPassphrase(text, file);
}

/** The key slots that are there or should be, oldest first, and what a loaded ledger says of each; needs no key. */
export const listSlots: typeof SlotsFile.listSlots = async (...args) => (await import('./ledger/slots.js')).listSlots(...args);

/** Adds a slot that another passphrase opens, and lists it in the ledger. @throws RoleError */
export const addSlot: typeof SlotsFile.addSlot = async (...args) => (await import('./ledger/slots.js')).addSlot(...args);

/** Stores a slot without a word in the ledger: `replaceSlot` has to follow. */
export const addKey: typeof KeysFile.addKey = async (...args) => (await import('./repository/keys.js')).addKey(...args);

/** Says that a stored slot takes the place of another. @throws RoleError */
export const replaceSlot: typeof SlotsFile.replaceSlot = async (...args) =>
  (await import('./ledger/slots.js')).replaceSlot(...args);

/** The slot whose id starts with some digits. @throws NotFoundError */
export async function findSlot(...args: Parameters<typeof SlotsFile.findSlot>): Promise<SlotsFile.ListedSlot> {
  return (await import('./ledger/slots.js')).findSlot(...args);
}

/** Removes a slot; its object stays for the policy's wait. @throws RoleError, RefusedError for the last one, NotFoundError */
export const removeSlot: typeof SlotsFile.removeSlot = async (...args) => (await import('./ledger/slots.js')).removeSlot(...args);

/** Takes the removal of a slot back while its object is there. @throws RoleError, RefusedError, NotFoundError */
export const restoreSlot: typeof SlotsFile.restoreSlot = async (...args) =>
  (await import('./ledger/slots.js')).restoreSlot(...args);

/** The text of a key file that holds the keyring. */
export const exportKeyFile: typeof KeysFile.exportKeyFile = async (...args) =>
  (await import('./repository/keys.js')).exportKeyFile(...args);

/** The label of a key file. @throws WrongKeyError */
export async function keyFileLabel(text: Uint8Array, file: string): Promise<string> {
  return (await import('./repository/keys.js')).keyFileLabel(text, file);
}

/** The part of a keyring that one role needs. @throws RoleError if it does not hold it */
export async function keyringOfRole(...args: Parameters<typeof KeysFile.keyringOfRole>): Promise<Keyring> {
  return (await import('./repository/keys.js')).keyringOfRole(...args);
}

/** All authors of the ledger: admins by rank, vaults, writers. */
export async function listAuthors(...args: Parameters<typeof RolesFile.listAuthors>): Promise<RolesFile.AuthorRecord[]> {
  return (await import('./ledger/roles.js')).listAuthors(...args);
}

/** Ends an author's chain. @throws RoleError, RefusedError, NotFoundError */
export const revokeAuthor: typeof RolesFile.revokeAuthor = async (...args) =>
  (await import('./ledger/roles.js')).revokeAuthor(...args);

/** A keyring that writes and does nothing else; it counts once certified. @throws RoleError */
export async function newWriterKey(...args: Parameters<typeof RolesFile.newWriterKey>): Promise<Keyring> {
  return (await import('./ledger/roles.js')).newWriterKey(...args);
}

/** Makes a new writer's entries count. @throws RoleError */
export const certifyWriter: typeof RolesFile.certifyWriter = async (...args) =>
  (await import('./ledger/roles.js')).certifyWriter(...args);

/** A keyring that reads and attests; it counts once certified. @throws RoleError */
export const newAuditorKey: typeof RolesFile.newAuditorKey = async (...args) =>
  (await import('./ledger/roles.js')).newAuditorKey(...args);

/** Makes a new auditor's entries count. @throws RoleError */
export const certifyAuditor: typeof RolesFile.certifyAuditor = async (...args) =>
  (await import('./ledger/roles.js')).certifyAuditor(...args);

/** Says in the ledger that keys which exist were handed out in another file. */
export const noteExport: typeof RolesFile.noteExport = async (...args) => (await import('./ledger/roles.js')).noteExport(...args);

/** Hosts that more than one writer uses whose key is in force. */
export async function sharedHosts(
  ...args: Parameters<typeof ScopeFile.sharedHosts>
): Promise<ReturnType<typeof ScopeFile.sharedHosts>> {
  return (await import('./ledger/scope.js')).sharedHosts(...args);
}

/** A new key in place of one in hand: keep its keyring durably, then `commit`. @throws RoleError */
export const prepareRotation: typeof RotationFile.prepareRotation = async (...args) =>
  (await import('./ledger/rotation.js')).prepareRotation(...args);

/** The rotation between the keyring in hand and another one, that somebody did not finish. @throws CorruptError, BadSignatureError */
export const findRotation: typeof RotationFile.findRotation = async (...args) =>
  (await import('./ledger/rotation.js')).findRotation(...args);

/** The roles that a keyring holds. */
export async function rolesOf(...args: Parameters<typeof KeysFile.rolesOf>): Promise<KeysFile.Role[]> {
  return (await import('./repository/keys.js')).rolesOf(...args);
}

// ---- vaults ----------------------------------------------------------------------------------------------------------------

/** Starts a vault: the process that guards a repository for others. @throws BusyError when another serves it */
export const startVault: typeof ServerFile.startVault = async (...args) =>
  (await import('./vault/server.js')).startVault(...args);

/** Joins two streams to a vault that runs, for a forced command of SSH. @throws NoRepositoryError when none does */
export const pumpToVault: typeof StdioFile.pumpToVault = async (...args) =>
  (await import('./vault/stdio.js')).pumpToVault(...args);

/** Certifies the vault behind a repository's store. @throws RoleError, RefusedError */
export const certifyVault: typeof CertifyFile.certifyVault = async (...args) =>
  (await import('./vault/certify.js')).certifyVault(...args);

/** What enforces retention, newest snapshots, incidents, holds. @throws RolledBackError, CorruptError */
export const repositoryStatus: typeof StatusFile.repositoryStatus = async (...args) =>
  (await import('./vault/status.js')).repositoryStatus(...args);

// ---- snapshots -------------------------------------------------------------------------------------------------------------

/** Loads and verifies the ledger. @throws CorruptError, BadSignatureError */
export const loadLedger: typeof LedgerFile.loadLedger = async (...args) =>
  (await import('./ledger/ledger.js')).loadLedger(...args);

/** The ledger's entry as plain data: ids in hex, times in RFC 3339. */
export async function entryRecord(...args: Parameters<typeof EntryRecordFile.entryRecord>): Promise<Record<string, unknown>> {
  return (await import('./ledger/entry-record.js')).entryRecord(...args);
}

/** Every signature, chain, receipt and retention of the ledger, verified. @throws StoreError */
export const verifyLedger: typeof VerifyLedgerFile.verifyLedger = async (...args) =>
  (await import('./verify/verify-ledger.js')).verifyLedger(...args);

/** What is missing or different compared with what this machine remembers. @throws CorruptError, BadSignatureError */
export const rememberedDifferences: typeof AcceptForkFile.rememberedDifferences = async (...args) =>
  (await import('./ledger/accept-fork.js')).rememberedDifferences(...args);

/** Says as an admin that the ledger as it is now is the right one. @throws RoleError, RefusedError */
export const acceptFork: typeof AcceptForkFile.acceptFork = async (...args) =>
  (await import('./ledger/accept-fork.js')).acceptFork(...args);

/** Every stream of which a snapshot is listed; hosts and labels with the reader role. */
export const listStreams: typeof StreamsFile.listStreams = async (...args) =>
  (await import('./ledger/streams.js')).listStreams(...args);

/** Ends a stream: its newest snapshot expires like the others. @throws RoleError, RefusedError, NotFoundError */
export const retireStream: typeof StreamsFile.retireStream = async (...args) =>
  (await import('./ledger/streams.js')).retireStream(...args);

/** The snapshot that a name finds among some. @throws NotFoundError */
export async function findSnapshot<S extends Pick<SnapshotsFile.Snapshot, 'id' | 'payload' | 'time'>>(
  snapshots: readonly S[],
  name: string,
): Promise<S> {
  return (await import('./ledger/snapshots.js')).findSnapshot(snapshots, name);
}

/** How every snapshot stands by the ledger alone, oldest first, pruned ones left out: needs no key. */
export async function snapshotRecords(...args: Parameters<typeof SnapshotsFile.snapshotRecords>): Promise<SnapshotRecord[]> {
  return (await import('./ledger/snapshots.js')).snapshotRecords(...args);
}

/** The snapshots that pass a filter, oldest first; those that do not open are told to `onLeftOut`. @throws RoleError, CorruptError, BadSignatureError */
export const selectSnapshots: typeof SelectFile.selectSnapshots = async (...args) =>
  (await import('./ledger/select.js')).selectSnapshots(...args);

/** The snapshot that an id prefix, `latest`, `latest~N` or `@TIME` names; with a filter, among those that pass it and open. @throws NotFoundError, CorruptError */
export const selectSnapshot: typeof SelectFile.selectSnapshot = async (...args) =>
  (await import('./ledger/select.js')).selectSnapshot(...args);

/** Adds, removes or sets tags. @throws RoleError */
export const tagSnapshots: typeof TagsFile.tagSnapshots = async (...args) =>
  (await import('./ledger/tags.js')).tagSnapshots(...args);

/** The snapshots that names mean, from the ledger alone. @throws NotFoundError */
export const selectRecords: typeof SelectFile.selectRecords = async (...args) =>
  (await import('./ledger/select.js')).selectRecords(...args);

// ---- retention -------------------------------------------------------------------------------------------------------------

/** The policy in force. */
export const showPolicy: typeof SetPolicyFile.showPolicy = async (...args) =>
  (await import('./retention/set-policy.js')).showPolicy(...args);

/** Changes the policy for snapshots to come. @throws RoleError, RefusedError, RangeError */
export const setPolicy: typeof SetPolicyFile.setPolicy = async (...args) =>
  (await import('./retention/set-policy.js')).setPolicy(...args);

/** Keeps snapshots until the hold is released. @throws RoleError, RefusedError, NotFoundError */
export const placeHold: typeof HoldsFile.placeHold = async (...args) => (await import('./retention/holds.js')).placeHold(...args);

/** Releases a hold. @throws RoleError, RefusedError, NotFoundError */
export const releaseHold: typeof HoldsFile.releaseHold = async (...args) =>
  (await import('./retention/holds.js')).releaseHold(...args);

/** The holds that stand; with `all` also those that were released. */
export const listHolds: typeof HoldsFile.listHolds = async (...args) => (await import('./retention/holds.js')).listHolds(...args);

/** Keeps snapshots until a time at least; nothing takes it back. @throws RoleError, RefusedError, NotFoundError */
export const extendSnapshots: typeof HoldsFile.extendSnapshots = async (...args) =>
  (await import('./retention/holds.js')).extendSnapshots(...args);

/** Announces the pruning of snapshots that have expired. @throws RefusedError for one that is still to be kept, RoleError, NotFoundError */
export const forgetSnapshots: typeof ForgetFile.forgetSnapshots = async (...args) =>
  (await import('./retention/forget.js')).forgetSnapshots(...args);

/** What may be pruned and what stays, and why; changes nothing. @throws StoreError, InterruptedError */
export const planPrune: typeof PruneFile.planPrune = async (...args) => (await import('./retention/prune.js')).planPrune(...args);

/** Announces what has expired. @throws RoleError, RefusedError, CorruptError, StoreError */
export const announcePrune: typeof PruneFile.announcePrune = async (...args) =>
  (await import('./retention/prune.js')).announcePrune(...args);

/** Deletes what was announced long enough ago and is still needed by nothing. @throws RoleError, RefusedError, CorruptError, StoreError */
export const sweepPrune: typeof PruneFile.sweepPrune = async (...args) =>
  (await import('./retention/prune.js')).sweepPrune(...args);

// ---- looking inside --------------------------------------------------------------------------------------------------------

/** Opens the trees of snapshots for reading; close it. @throws RoleError, CorruptError */
export const openTrees: typeof OpenTreeFile.openTrees = async (...args) =>
  (await import('./browse/open-tree.js')).openTrees(...args);

/** The entry at an absolute path of a snapshot. @throws NotFoundError */
export async function entryAt(
  ...args: Parameters<typeof OpenTreeFile.entryAt>
): Promise<ReturnType<typeof OpenTreeFile.entryAt>> {
  return (await import('./browse/open-tree.js')).entryAt(...args);
}

/** Entries at or below a path, parents first. @throws NotFoundError, CorruptError */
export async function* listTree(...args: Parameters<typeof ListTreeFile.listTree>): AsyncGenerator<ListTreeFile.Located> {
  yield* (await import('./browse/list-tree.js')).listTree(...args);
}

/** What changed between two snapshots, in the order of paths. @throws NotFoundError, CorruptError */
export async function* diffSnapshots(...args: Parameters<typeof DiffFile.diffSnapshots>): AsyncGenerator<DiffFile.Change> {
  yield* (await import('./browse/diff-snapshots.js')).diffSnapshots(...args);
}

/** Searches names over many snapshots; equal results are folded into one, and directories that do not read are told to `onUnreadable`. @throws StoreError */
export async function findPaths(...args: Parameters<typeof FindFile.findPaths>): Promise<FindFile.Found[]> {
  return (await import('./browse/find-paths.js')).findPaths(...args);
}

/** Hands on a file's bytes, verified, in order. @throws NotFoundError unless a file is there, CorruptError */
export const dumpFile: typeof DumpFileFile.dumpFile = async (...args) =>
  (await import('./browse/dump-file.js')).dumpFile(...args);

/** Hands on a directory as a tar stream. @throws NotFoundError, CorruptError */
export const dumpTar: typeof DumpTarFile.dumpTar = async (...args) => (await import('./browse/dump-tar.js')).dumpTar(...args);

/** Adds up what is stored and what it would restore to. @throws StoreError, CorruptError */
export const repositoryStats: typeof StatsFile.repositoryStats = async (...args) =>
  (await import('./browse/repository-stats.js')).repositoryStats(...args);

/** One object of the repository as plain data, ids in hex, never a secret. @throws NotFoundError, CorruptError */
export const describeObject: typeof DescribeFile.describeObject = async (...args) =>
  (await import('./browse/describe-object.js')).describeObject(...args);

// ---- storing and restoring ---------------------------------------------------------------------------------------------------

/** Loads what backup will need; to be called while something else is waited for. */
export const prepareBackup = async (): Promise<void> => (await import('./ingest/prepare.js')).prepareBackup();

/** Stores a snapshot of file trees or of a stream. @throws SourceError, RoleError, StoreError, InterruptedError */
export const backup: typeof BackupFile.backup = async (...args) => (await import('./ingest/backup.js')).backup(...args);

/** Compiles what a backup leaves out. @throws RangeError naming a pattern that is not one */
export async function compileExclusion(
  ...args: Parameters<typeof ExcludeFile.compileExclusion>
): Promise<ExcludeFile.Exclusion | undefined> {
  return (await import('./ingest/exclude.js')).compileExclusion(...args);
}

/** Compiles patterns for `include` and `exclude` of a restore. @throws RangeError naming a pattern that is not one */
export async function compileMatcher(
  ...args: Parameters<typeof ExcludeFile.compileMatcher>
): Promise<ReturnType<typeof ExcludeFile.compileMatcher>> {
  return (await import('./ingest/exclude.js')).compileMatcher(...args);
}

/** Compiles patterns of paths. @throws RangeError naming a pattern that is not one */
export async function compilePatterns(
  ...args: Parameters<typeof PatternsFile.compilePatterns>
): Promise<PatternsFile.PathPatterns> {
  return (await import('./ingest/patterns.js')).compilePatterns(...args);
}

/** Restores a snapshot, or a part of it, into a folder. @throws NotFoundError, StoreError, InterruptedError */
export const restore: typeof RestoreFile.restore = async (...args) => (await import('./restore/restore.js')).restore(...args);

// ---- mounting ----------------------------------------------------------------------------------------------------------------

/** Mounts the repository; `finished` of what it returns resolves when the mount is gone. @throws MountError, NotFoundError, RoleError */
export const mountRepository: typeof MountFile.mountRepository = async (...args) =>
  (await import('./mount/mount-repository.js')).mountRepository(...args);

/** Begins to load what mountRepository will need; to be called first of all in a process that is about to mount. */
export const prepareMount = async (): Promise<void> => (await import('./mount/prepare.js')).prepareMount();

/** Takes a mount off and waits until it is gone. @throws MountError */
export const unmount: typeof UnmountFile.unmount = async (...args) => (await import('./mount/unmount.js')).unmount(...args);

// ---- verifying ---------------------------------------------------------------------------------------------------------------

/** Checks the structure of the repository, and as much of the data as is asked for. @throws StoreError, InterruptedError */
export const check: typeof CheckFile.check = async (...args) => (await import('./verify/check.js')).check(...args);
