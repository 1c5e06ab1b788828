/** How long the path of a unix socket may be: systems keep it in a field of fixed size, and cut off or refuse what does not fit. Imports nothing. */

/** sun_path without its final zero: 108 bytes on Linux, 104 on macOS and the BSDs. */
export const MAX_SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103;

/** What is wrong with a socket's path, as a sentence; undefined if nothing is. */
export function badSocketPath(path: string): string | undefined {
  const bytes = Buffer.byteLength(path);
  if (bytes <= MAX_SOCKET_PATH_BYTES) return undefined;
  return `the path of a unix socket may have ${MAX_SOCKET_PATH_BYTES} bytes, and ${path} has ${bytes}; choose a shorter one`;
}
