/** Compiles test/helpers/sample-fs.ts into a folder of the test's own, because serving threads and processes run plain JavaScript. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import type { FileSystemSource } from '../../lib/mount/driver.js';
import { packageRoot } from '../../lib/native.js';
import type { SampleData } from './sample-fs.js';

/** A FileSystemSource of the sample, compiled into `folder`. */
export function sampleSource(folder: string, data: SampleData = {}): FileSystemSource {
  const file = join(folder, 'sample-fs.mjs');
  const source = readFileSync(join(packageRoot(), 'test', 'helpers', 'sample-fs.ts'), 'utf8');
  const compilerOptions = { module: ts.ModuleKind.ES2022, target: ts.ScriptTarget.ES2022, verbatimModuleSyntax: true };
  writeFileSync(file, ts.transpileModule(source, { compilerOptions }).outputText);
  return { file, data };
}
