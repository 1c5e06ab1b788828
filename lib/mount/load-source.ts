/** Loads the module that opens what is mounted, in the thread or process that serves it. */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { FileSystem } from './driver.js';

/** What a module must export to be mounted: see FileSystemSource. */
export interface SourceModule {
  openFileSystem(data: unknown): FileSystem;
}

/** @throws whatever loading `file` throws */
export async function loadSource(file: string): Promise<SourceModule> {
  // Of the bundle, whose code cannot import what it is told by name.
  if (file.endsWith('.cjs')) return createRequire(file)(file) as SourceModule;
  return (await import(pathToFileURL(file).href)) as SourceModule;
}
