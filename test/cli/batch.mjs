// Several command lines in one process, one after another, for those that end before they open anything (help, usage errors): starting a process for
// each costs more than what it does. Arguments: JSON, an array of argument lists. Prints JSON: [{ status, stdout, stderr }].
import { runProgram } from '../../dist/cli/program.js';

process.setMaxListeners(0);
const results = [];
const real = process.stdout.write.bind(process.stdout);
for (const stream of [process.stdout, process.stderr]) stream.setMaxListeners(0);
for (const argv of JSON.parse(process.argv[2])) {
  const result = { status: 0, stdout: '', stderr: '' };
  const into = (name) => (text, encoding, done) => {
    result[name] += Buffer.from(text).toString();
    (typeof encoding === 'function' ? encoding : done)?.();
    return true;
  };
  process.stdout.write = into('stdout');
  process.stderr.write = into('stderr');
  await runProgram(argv, 'varve 0.0.0');
  results.push({ ...result, status: process.exitCode });
}
process.exitCode = 0;
real(JSON.stringify(results));
