/** Payloads of ledger entries, by type (docs/format.md §11): what an author can say. Their bytes are payload-codec.ts's; which of them count is decided in lib/ledger/authority.ts. */

export const EntryType = {
  genesis: 1,
  writerCert: 2,
  retire: 3,
  policy: 4,
  snapshot: 5,
  extend: 6,
  hold: 7,
  release: 8,
  receipt: 9,
  attest: 10,
  check: 11,
  drill: 12,
  copy: 13,
  pruneIntent: 14,
  pruneDone: 15,
  keyRotate: 16,
  incident: 17,
  tags: 18,
  cert: 19,
  acceptFork: 20,
  slots: 21,
  retireStream: 22,
} as const;

/** What a cert entry makes of a key. Writers have certs of their own, which name a domain. */
export const CertifiedRole = { admin: 0, vault: 1, auditor: 2 } as const;

/** What was looked at: that a pack is there, its SHA-256, its frames and chunk ids, the digests of whole files. */
export const CheckLevel = { present: 0, objects: 1, frames: 2, files: 3 } as const;

/** A drill is announced before it begins, so that one that fails cannot be left out. */
export const DrillPhase = { intent: 0, result: 1 } as const;

export const Verdict = { passed: 0, failed: 1, aborted: 2 } as const;

/** Which way a copy went: to the other repository, or from it. */
export const CopyDirection = { to: 0, from: 1 } as const;

/** The last second of the year 9999: no time, and no duration, of an entry is greater. */
export const MAX_SECOND = 253_402_300_799;
/** The first second of the year 1. */
export const MIN_SECOND = -62_135_596_800;
/** So many bad packs are named by a check entry; a count says how many there were. */
export const MAX_BAD_PACKS = 16;
/** So long may a vault keep a snapshot by itself, whatever a policy allows. */
export const MAX_VAULT_EXTENSION_SEC = 90 * 86_400;

/** What a key-rotate entry replaces: the admin key that signs it, or the key that sessions are sealed to. */
export const RotatedRole = { admin: 0, reader: 1 } as const;

/** How long a snapshot is kept at least, and how long the first complete one of each slot is; seconds, 0 = none. */
export interface Durations {
  readonly minimumSec: number;
  readonly hourSec: number;
  readonly daySec: number;
  readonly weekSec: number;
  readonly monthSec: number;
  readonly yearSec: number;
}

/** The names of all durations, in the order of the format. */
export const DURATIONS = ['minimumSec', 'hourSec', 'daySec', 'weekSec', 'monthSec', 'yearSec'] as const;

/** Retention of some workloads: of snapshots whose host, label and tags match. An empty list matches everything; patterns may hold `*`. */
export interface RetentionClass extends Durations {
  readonly name: string;
  readonly hosts: readonly string[];
  readonly labels: readonly string[];
  readonly tags: readonly string[];
  /** How often a snapshot is expected, seconds; 0 = no expectation. */
  readonly expectSec: number;
}

/** What a policy says beside the durations of the default class. */
export interface PolicyTerms {
  /** How long an intent to prune stands in the ledger before anything is deleted, seconds. */
  readonly waitSec: number;
  /** The longest retention that a writer may give a snapshot, seconds; 0 = no limit. */
  readonly longestSec: number;
  /** Whether a vault may announce the pruning of what has expired by itself. */
  readonly autoPrune: boolean;
  /** What one writer may store in a day; 0 = no limit. Enforced by a vault. */
  readonly dailyBytes: number;
  readonly dailySnapshots: number;
  readonly classes: readonly RetentionClass[];
  /** For how long a vault may keep snapshots beyond what was promised, seconds; absent: not at all. */
  readonly extensionSec?: number;
}

export interface PolicyPayload extends Durations {
  /** Absent in the policies of the first writers of the format: DEFAULT_TERMS hold then. */
  readonly terms?: PolicyTerms;
}

export const DEFAULT_TERMS: PolicyTerms = {
  waitSec: 72 * 3600,
  longestSec: 0,
  autoPrune: false,
  dailyBytes: 0,
  dailySnapshots: 0,
  classes: [],
};

export interface SnapshotPayload {
  readonly manifest: Uint8Array;
  readonly stream: Uint8Array;
  readonly state: number;
  readonly retainUntilSec: number;
  readonly slots: number;
  /** Name of the retention class; absent for the default one, never empty. */
  readonly class?: string;
}

export interface WriterCertPayload {
  readonly publicKey: Uint8Array;
  readonly domain: Uint8Array;
  /** What people call the writer; everybody who reads the ledger sees it. */
  readonly name?: string;
  /** The hosts and labels it speaks for, sealed for whoever holds the domain's secret; see WriterScope. */
  readonly sealed?: Uint8Array;
}

/** The hosts and labels that a writer may speak for: patterns in which `*` stands for any text. */
export interface WriterScope {
  readonly hosts: readonly string[];
  /** None: all. */
  readonly labels: readonly string[];
}

/** The beginning of a chain: how many entries, and the SHA-256 of the last one's object (zeros for none). */
export interface ChainHead {
  readonly author: Uint8Array;
  readonly count: number;
  readonly head: Uint8Array;
}

/** A vault's word on another author's entry: it stood here at the receipt entry's time. */
export interface Receipt {
  readonly author: Uint8Array;
  readonly sequence: number;
  /** SHA-256 of the entry's object. */
  readonly hash: Uint8Array;
  /** Of a snapshot: until when it is kept; otherwise 0. */
  readonly retainUntilSec: number;
  readonly slots: number;
}

/** A check of packs: all whose ids are in a range and that a snapshot received before `coversSec` needs. */
export interface CheckPayload {
  readonly level: number;
  /** Least and greatest pack id of the range, 32 bytes each. */
  readonly first: Uint8Array;
  readonly last: Uint8Array;
  readonly coversSec: number;
  /** Digest of the chains as they were then; see headsDigest in lib/ledger. */
  readonly heads: Uint8Array;
  readonly startedSec: number;
  readonly packs: number;
  readonly bytes: number;
  readonly badCount: number;
  /** Joined ids of the first MAX_BAD_PACKS bad ones, rising. */
  readonly bad: Uint8Array;
}

/** A test of recovery, before and after it. */
export interface DrillPayload {
  readonly phase: number;
  /** Names the drill in both of its entries, 16 bytes. */
  readonly drill: Uint8Array;
  readonly snapshots: Uint8Array;
  /** Of a result. */
  readonly verdict?: number;
  /** Of a result: SHA-256 of the sealed record of the drill, zeros for none. */
  readonly record?: Uint8Array;
}

/** What stands in both ledgers after snapshots were copied from one repository to another. */
export interface CopyPayload {
  readonly direction: number;
  /** Id of the other repository. */
  readonly other: Uint8Array;
  /** Of this repository. */
  readonly snapshots: Uint8Array;
  /** Digest of the other ledger's chains, as of `check`. */
  readonly heads: Uint8Array;
  readonly bytes: number;
  /** How far the copy was verified, as of `check`. */
  readonly level: number;
}

/** A key slot that an admin vouches for. */
export interface SlotRecord {
  /** 8 bytes. */
  readonly id: Uint8Array;
  readonly label: string;
  /** SHA-256 of its object. */
  readonly digest: Uint8Array;
}

/** Objects to be pruned, or pruned: joined 32-byte ids, strictly rising. */
export interface PruneList {
  readonly packs: Uint8Array;
  readonly snapshots: Uint8Array;
  readonly indexes: Uint8Array;
}

type T = typeof EntryType;
export type Payload =
  | { readonly type: T['genesis'] }
  | ({ readonly type: T['writerCert'] } & WriterCertPayload)
  | ({ readonly type: T['retire']; readonly reason: string } & ChainHead)
  | ({ readonly type: T['policy'] } & PolicyPayload)
  | ({ readonly type: T['snapshot'] } & SnapshotPayload)
  | { readonly type: T['extend']; readonly snapshots: Uint8Array; readonly untilSec: number; readonly reason: string }
  | { readonly type: T['hold']; readonly snapshots: Uint8Array; readonly reason: string }
  | { readonly type: T['release']; readonly author: Uint8Array; readonly sequence: number; readonly reason: string }
  | { readonly type: T['receipt']; readonly receipts: readonly Receipt[] }
  | ({ readonly type: T['pruneIntent'] } & PruneList)
  | ({ readonly type: T['pruneDone']; readonly author: Uint8Array; readonly sequence: number } & PruneList)
  | {
      readonly type: T['keyRotate'];
      readonly role: number;
      readonly publicKey: Uint8Array;
      /** Of a reader key: Ed25519 signature with the key that the genesis names for it. */
      readonly signature?: Uint8Array;
    }
  | { readonly type: T['incident']; readonly code: string; readonly detail: string }
  | { readonly type: T['tags']; readonly domain: Uint8Array; readonly sealed: Uint8Array }
  | { readonly type: T['cert']; readonly role: number; readonly publicKey: Uint8Array; readonly name?: string }
  | { readonly type: T['acceptFork']; readonly heads: readonly ChainHead[]; readonly reason: string }
  | { readonly type: T['attest']; readonly snapshots: Uint8Array; readonly statement: string }
  | ({ readonly type: T['check'] } & CheckPayload)
  | ({ readonly type: T['drill'] } & DrillPayload)
  | ({ readonly type: T['copy'] } & CopyPayload)
  | { readonly type: T['slots']; readonly added: readonly SlotRecord[]; readonly removed: readonly Uint8Array[] }
  | { readonly type: T['retireStream']; readonly author: Uint8Array; readonly stream: Uint8Array; readonly reason: string }
  /**
   * A type this program does not know, or a payload that breaks a rule (`why`): chain and signature are checked, and nothing else comes of it.
   */
  | { readonly type: number; readonly reserved: true; readonly why?: string };

/** The payload of `type`; narrows the union where a plain comparison cannot, because of entries of unknown types. */
export type PayloadOf<K extends keyof T> = Extract<Payload, { readonly type: T[K] }> & { readonly reserved?: never };

/** `payload` if it is of the kind called `kind`. */
export function payloadOf<K extends keyof T>(payload: Payload, kind: K): PayloadOf<K> | undefined {
  return payload.type === EntryType[kind] && !('reserved' in payload) ? (payload as PayloadOf<K>) : undefined;
}
