/** Loads what a backup needs while its repository is still being reached: over a network that takes longer than loading. Imports nothing before it is asked. */

/** To be called while something else is waited for. What cannot be loaded is told by whoever needs it. */
export async function prepareBackup(): Promise<void> {
  const [{ native }, { prepareSealing }] = await Promise.all([
    import('../native.js'),
    import('../crypto/session.js'),
    import('../repository/keys.js'),
    import('../ledger/heads.js'),
    import('./backup.js'),
  ]);
  native();
  await prepareSealing();
}
