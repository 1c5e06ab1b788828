// Loaded before the program (node --import): ends the process with SIGKILL just before its n-th step that changes what is durable below KILL_BELOW (folders, joined by
// colons), n from KILL_AT.
import fs from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const at = Number(process.env.KILL_AT);
const folders = (process.env.KILL_BELOW ?? '').split(':');
let steps = 0;
const isOurs = (path) => typeof path !== 'string' || folders.some((folder) => path.startsWith(folder));
const step = () => {
  if (++steps === at) process.kill(process.pid, 'SIGKILL');
};
const watch = (module, name, matters) => {
  const real = module[name];
  module[name] = (...args) => {
    if (matters(...args)) step();
    return real.apply(module, args);
  };
};
const writes = (path, flags) => typeof flags === 'string' && flags !== 'r' && isOurs(path);
for (const module of [fs, promises]) {
  watch(module, module === fs ? 'openSync' : 'open', writes);
  for (const name of ['link', 'rename', 'unlink', 'rm']) {
    const both = module === fs ? `${name}Sync` : name;
    watch(module, both, (path) => isOurs(path));
  }
}
watch(fs, 'writeSync', (fd) => fd > 2);
watch(fs, 'fsyncSync', () => true);
syncBuiltinESMExports();
