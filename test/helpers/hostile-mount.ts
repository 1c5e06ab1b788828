/** Mounts test/helpers/hostile-fs.py: a file system that says what a test wants it to say. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { packageRoot } from '../../lib/native.js';

/** What the file system says of one entry. What is not given is ordinary. */
export interface HostileNode {
  readonly name: string | Uint8Array;
  /** With the type, as in stat. */
  readonly mode: number;
  readonly size?: bigint;
  readonly mtime?: bigint;
  readonly mtimensec?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly nlink?: number;
  readonly ino?: number;
  readonly rdev?: number;
  readonly data?: string | Uint8Array;
  readonly target?: string | Uint8Array;
  readonly xattrs?: readonly (readonly [string | Uint8Array, string | Uint8Array])[];
  readonly children?: readonly HostileNode[];
}

/** Why such a file system cannot be mounted here, or false. */
export const cannotMount: string | false =
  process.platform !== 'linux' || process.getuid?.() !== 0
    ? 'mounting it needs root on Linux'
    : !existsSync('/dev/fuse')
      ? 'there is no /dev/fuse'
      : spawnSync('python3', ['-c', '']).status !== 0 && 'there is no python3';

const base64 = (bytes: string | Uint8Array): string => Buffer.from(bytes).toString('base64');

function json(node: HostileNode): string {
  const fields: string[] = [];
  for (const [key, value] of Object.entries(node)) {
    if (key === 'name' || key === 'data' || key === 'target') fields.push(`"${key}": "${base64(value)}"`);
    else if (key === 'children') fields.push(`"children": [${(value as HostileNode[]).map(json).join()}]`);
    else if (key === 'xattrs')
      fields.push(`"xattrs": ${JSON.stringify((value as [string, string][]).map((pair) => pair.map(base64)))}`);
    else fields.push(`"${key}": ${value}`);
  }
  return `{${fields.join()}}`;
}

/** Mounts `children` at `folder`/hostile, until the test ends. @returns the mountpoint */
export async function mountHostile(t: Test, folder: string, children: readonly HostileNode[]): Promise<string> {
  const mountpoint = join(folder, 'hostile');
  mkdirSync(mountpoint, { recursive: true });
  const spec = join(folder, 'hostile.json');
  writeFileSync(spec, `[${children.map(json).join()}]`);
  const script = join(packageRoot(), 'test/helpers/hostile-fs.py');
  const server = spawn('python3', [script, mountpoint, spec], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(async () => {
    server.kill();
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
  });
  const [first] = await Promise.race([once(server.stdout!, 'data'), once(server, 'exit')]);
  if (String(first).trim() !== 'mounted') throw new Error(`the hostile file system ended with ${first}`);
  return mountpoint;
}
