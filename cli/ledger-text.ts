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
const CERTIFIED = ['admin', 'vault', 'auditor'];
const called = (name: unknown): string => (name === undefined || name === '' ? '' : ` ${String(name)}`);
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const slots = (list: readonly unknown[], verb: string): string[] =>
  list.length === 0 ? [] : [`${verb} ${list.length === 1 ? 'key slot' : 'key slots'} ${list.join(', ')}`];
const lists = (entry: Fields): string =>
  [count(entry.packs, 'pack'), count(entry.snapshots, 'snapshot'), count(entry.indexes, 'index object')].join(', ');

const TEXTS: Readonly<Record<string, (entry: Fields) => string>> = {
  genesis: () => 'made the repository',
  'writer-cert': ({ public_key: key, domain, name }) =>
    `certified writer${called(name)} key ${short(key)} for domain ${short(domain)}`,
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
  cert: ({ role, public_key: key, name }) => `certified ${CERTIFIED[Number(role)] ?? 'unknown'}${called(name)} key ${short(key)}`,
  'accept-fork': ({ heads, reason }) => `accepted ${count(heads, 'chain')} as they are${because(reason)}`,
  attest: ({ snapshots, statement }) => `attests ${ids(snapshots)}${because(statement)}`,
  check: ({ level, packs, bytes, bad_count: bad, covers }) =>
    `checked ${String(packs)} packs (${String(bytes)} bytes) at level ${String(level)}, of snapshots before ${String(covers).slice(0, 10)}: ${Number(bad) === 0 ? 'all good' : `${String(bad)} bad`}`,
  drill: ({ phase, drill, snapshots, verdict }) =>
    phase === 'intent'
      ? `drill ${short(drill)} of ${ids(snapshots)} begins`
      : `drill ${short(drill)} of ${ids(snapshots)}: ${String(verdict)}`,
  copy: ({ direction, other, snapshots, bytes, level }) =>
    `copied ${ids(snapshots)} ${String(direction)} repository ${String(other).slice(0, 16)}, ${String(bytes)} bytes, verified at level ${String(level)}`,
  slots: ({ added, removed }) => {
    const names = listOf(added).map((one) => {
      const { id, label } = one as Fields;
      return `${String(id)} (${String(label)})`;
    });
    return [...slots(names, 'listed'), ...slots(listOf(removed), 'removed')].join('; ') || 'listed no key slot';
  },
  'retire-stream': ({ author, stream, reason }) => `retired stream ${short(stream)} of writer ${short(author)}${because(reason)}`,
};

/** One line about an entry as `entryRecord` gives it; nothing about a type that this program does not know. */
export function entryText(record: Fields): string {
  // One that breaks a rule keeps its place, and changes nothing.
  if (record.why !== undefined) return `changes nothing: ${String(record.why)}`;
  return TEXTS[String(record.type)]?.(record) ?? '';
}
