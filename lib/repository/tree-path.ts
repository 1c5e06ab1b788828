/** Paths of a snapshot as people type them. Pure. */

/** Splits an absolute path into its names: no empty ones, no `.`; `..` takes one back. */
export function namesOfPath(path: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = [];
  let start = 0;
  for (let at = 0; at <= path.byteLength; at++) {
    if (at < path.byteLength && path[at] !== 0x2f) continue;
    const name = path.subarray(start, at);
    start = at + 1;
    const dots = name.every((byte) => byte === 0x2e) ? name.byteLength : 0;
    if (name.byteLength === 0 || dots === 1) continue;
    if (dots === 2) names.pop();
    else names.push(name);
  }
  return names;
}
