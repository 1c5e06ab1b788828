/** Who and where: the label of new keys. */
import { hostname, userInfo } from 'node:os';

/** `user@host`, as far as they are known. */
export function userAtHost(): string {
  let user = 'unknown';
  try {
    user = userInfo().username;
  } catch {
    // A user id without an entry in the password database.
  }
  return `${user}@${hostname()}`;
}
