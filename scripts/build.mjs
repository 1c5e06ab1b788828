// npm run build: dependencies, addon and TypeScript; `native` as argument rebuilds the addon alone.
import { setup, setupNative } from './setup.mjs';

if (process.argv[2] === 'native') setupNative(true);
else setup();
