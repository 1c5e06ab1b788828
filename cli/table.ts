/** Tables for people: columns as wide as their widest cell as it is printed, the last one ragged. Pure. */
import { printable } from '../lib/index.js';

/** Lines of `rows` under `headings`; columns whose index is in `right` are aligned to the right. */
export function tableLines(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string[] {
  const shown = rows.map((row) => row.map(printable));
  const widths = headings.map((heading, i) => Math.max(heading.length, ...shown.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (right.includes(i) ? cell.padStart(widths[i]!) : i === cells.length - 1 ? cell : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [line(headings), ...shown.map(line)];
}
