/** Parses the command line, runs one command, reports what went wrong. Only here does the process get its exit status. */
import { Command, CommanderError } from 'commander';
import { reportReady } from './background.js';
import { COMMANDS } from './commands.js';
import { Exit, exitTable, statusOf } from './exit.js';
import { addGlobalOptions, ENVIRONMENT, type Globals } from './globals.js';
import { abortOnSignals } from './interrupt.js';
import { Output, OutputClosed, SCHEMA } from './output.js';
import type { Run } from './run.js';
import { UsageError } from './usage-error.js';

const EXAMPLES = `Examples:
  varve init -r /srv/backup                     create a repository
  varve -r /srv/backup backup /home /etc        back up
  varve -r /srv/backup mount /mnt/backup        look at every snapshot as files
  varve -r /srv/backup restore latest:/etc --target /tmp/etc
`;

/** The command that `argv` names, wherever options stand. */
function findVerb(argv: readonly string[]): string | undefined {
  const probe = new Command().exitOverride().allowUnknownOption().helpOption(false);
  addGlobalOptions(probe);
  try {
    const { operands } = probe.parseOptions([...argv]);
    return operands[0] === 'help' ? operands[1] : operands[0];
  } catch {
    return undefined;
  }
}

async function buildProgram(argv: readonly string[], version: string, run: Run): Promise<Command> {
  const program = new Command('varve')
    .description('Encrypted, deduplicated backups that mount as a read-only file system of points in time.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help; for a command: varve help COMMAND')
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
  addGlobalOptions(program);
  program.addHelpText('after', `\n${ENVIRONMENT}\n\n${exitTable()}\n\n${EXAMPLES}`);
  const verb = findVerb(argv);
  for (const row of COMMANDS) {
    const command = program.command(row.name).description(row.summary).helpOption('-h, --help', 'print help');
    if (row.alias !== undefined) command.alias(row.alias);
    if (verb !== undefined && (verb === row.name || verb === row.alias)) (await row.load()).configure(command, run);
  }
  return program;
}

/** Reports `error` on stderr: a line for people, an object with --json. */
function report(error: unknown, status: number, json: boolean, verbose: boolean): void {
  const { message, details } = error as { message?: string; details?: Readonly<Record<string, unknown>> };
  const code =
    error instanceof CommanderError || error instanceof UsageError ? 'USAGE' : ((error as { code?: unknown }).code ?? 'FAILED');
  const text = (message ?? String(error)).replace(/^error: /, '');
  reportReady({ failed: { message: text, error: String(code), code: status } });
  if (json)
    process.stderr.write(
      `${JSON.stringify({ message_type: 'exit_error', schema: SCHEMA, ...(details ?? {}), code: status, error: code, message: text })}\n`,
    );
  else process.stderr.write(`varve: ${text}\n`);
  if (verbose) process.stderr.write(`${(error as Error).stack ?? ''}\n`);
}

/** Runs the program with the arguments after its name, and ends the process when something still holds it open afterwards. */
export async function runProgram(argv: readonly string[], version: string): Promise<void> {
  // Known before anything is parsed, so that an error of parsing is reported as asked for.
  const options = argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;
  const json = options.includes('--json');
  const quiet = options.includes('-q') || options.includes('--quiet');
  const out = new Output({ json, quiet });
  let program: Command | undefined;
  const run: Run = {
    get globals() {
      return program!.opts<Globals & Record<string, unknown>>();
    },
    out,
    signal: abortOnSignals(),
    status: Exit.ok,
  };
  try {
    program = await buildProgram(argv, version, run);
    if (argv.length === 0) {
      process.stdout.write(program.helpInformation());
      run.status = Exit.usage;
    } else await program.parseAsync(argv, { from: 'user' });
    await out.flush();
  } catch (error) {
    await out.flush().catch(() => undefined);
    if (error instanceof OutputClosed) run.status = Exit.ok;
    else if (error instanceof CommanderError && error.exitCode === 0) run.status = Exit.ok;
    else if (error instanceof CommanderError && error.code === 'commander.help') run.status = Exit.usage;
    else {
      const status = error instanceof CommanderError ? Exit.usage : statusOf(error);
      out.beforeStderr?.();
      report(error, status, json, (program?.opts<{ verbose?: number }>().verbose ?? 0) > 1);
      run.status = status;
    }
  }
  process.exitCode = run.status;
  // Terminal input stays open after a prompt; nothing is left to do by now.
  process.stdin.unref?.();
}
