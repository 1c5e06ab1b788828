/** What a ledger entry says, in a line for people. Pure; from the entry as plain data. */

type Fields = Readonly<Record<string, unknown>>;

const short = (id: unknown): string => String(id).slice(0, 8);
const count = (list: unknown, noun: string): string => {
  const { length } = Array.isArray(list) ? list : [];
  return `${length} ${noun}${length === 1 ? '' : 's'}`;
};
const ids = (list: unknown): string => {
  const all = Array.isArray(list) ? list : [];
  return all.length > 4 ? `${all.length} snapshots` : all.map(short).join(', ');
};
const until = (time: unknown): string => (typeof time === 'string' ? `until ${time.slice(0, 10)}` : 'for no set time');
const because = (reason: unknown): string => (reason === undefined || reason === '' ? '' : `: ${String(reason)}`);
const ROTATED = ['admin', 'reader'];
const CERTIFIED = ['admin', 'vault'];
const lists = (entry: Fields): string =>
  [count(entry.packs, 'pack'), count(entry.snapshots, 'snapshot'), count(entry.indexes, 'index object')].join(', ');

const TEXTS: Readonly<Record<string, (entry: Fields) => string>> = {
  genesis: () => 'made the repository',
  'writer-cert': ({ public_key: key, domain }) => `certified writer key ${short(key)} for domain ${short(domain)}`,
  retire: ({ author, count: length, reason }) => `revoked ${short(author)} after ${String(length)} entries${because(reason)}`,
  policy: ({ terms }) => {
    const classes = (terms as { classes?: unknown } | undefined)?.classes;
    return `set the retention policy${classes === undefined ? '' : ` with ${count(classes, 'class').replace('classs', 'classes')}`}`;
  },
  snapshot: (entry) =>
    `${short(entry.snapshot)} ${String(entry.state)}, kept ${until(entry.retain_until)}${entry.class === undefined ? '' : ` (${String(entry.class)})`}`,
  extend: (entry) => `keeps ${ids(entry.snapshots)} ${until(entry.until)}${because(entry.reason)}`,
  hold: (entry) => `holds ${ids(entry.snapshots)}${because(entry.reason)}`,
  release: ({ author, sequence, reason }) => `released the hold ${short(author)}/${String(sequence)}${because(reason)}`,
  receipt: ({ receipts }) => `received ${count(receipts, 'entry').replace('entrys', 'entries')}`,
  'prune-intent': (entry) => `is to delete ${lists(entry)}`,
  'prune-done': (entry) => `deleted ${lists(entry)}`,
  'key-rotate': ({ role, public_key: key }) => `new ${ROTATED[Number(role)] ?? 'unknown'} key ${short(key)}`,
  incident: ({ code, detail }) => `${String(code)}: ${String(detail)}`,
  tags: ({ domain }) => `changed tags in domain ${short(domain)}`,
  cert: ({ role, public_key: key }) => `certified ${CERTIFIED[Number(role)] ?? 'unknown'} key ${short(key)}`,
  'accept-fork': ({ heads, reason }) => `accepted ${count(heads, 'chain')} as they are${because(reason)}`,
};

/** One line about an entry as `entryRecord` gives it; nothing about a type that this program does not know. */
export function entryText(record: Fields): string {
  return TEXTS[String(record.type)]?.(record) ?? '';
}
