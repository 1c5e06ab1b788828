// Loaded first by scripts/sanitize.mjs (node --require): the addon that was built with sanitizers in place of the usual one. The program itself has no such switch.
const { join } = require('node:path');

const usual = join(__dirname, '..', 'build', 'Release', 'varve.node');
const load = require.extensions['.node'];
require.extensions['.node'] = (module, file) => load(module, file === usual ? process.env.VARVE_SANITIZED_ADDON : file);
