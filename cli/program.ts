/** Parses the command line, runs one command, reports what went wrong. Only here does the process get its exit status. */
import { Command, CommanderError } from 'commander';
import { reportReady } from './background.js';
import { COMMANDS } from './commands.js';
import { Exit, exitTable, statusOf } from './exit.js';
import { addGlobalOptions, ENVIRONMENT, type Globals } from './globals.js';
import { abortOnSignals } from './interrupt.js';
import { Output, OutputClosed } from './output.js';
import { requireUtf8 } from './raw-arguments.js';
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

/** Options whose bytes a command finds again itself (lib/ingest takes patterns as bytes; `--path` is compared as it is shown). */
const TAKES_BYTES = new Set(['path', 'excludeIfPresent']);
/** Commands whose arguments are paths, which may be any bytes. */
const TAKES_PATHS = new Set(['backup', 'ls', 'find', 'diff', 'dump', 'restore', 'mount']);

/**
 * What is text (labels, tags, reasons, names, hosts, and names of files that are opened by text) must have been typed as UTF-8: Node makes the same U+FFFD of all other bytes, so that two
 * labels would be one, and another file than was named would be opened.
 *
 * @throws UsageError
 */
function requireUtf8Arguments(command: Command): void {
  for (const [name, value] of Object.entries(command.optsWithGlobals<Record<string, unknown>>())) {
    if (TAKES_BYTES.has(name)) continue;
    const flag = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    for (const text of Array.isArray(value) ? value : [value]) if (typeof text === 'string') requireUtf8(text, flag);
  }
  if (TAKES_PATHS.has(command.name()) && command.opts<{ stdinFromCommand?: boolean }>().stdinFromCommand !== true) return;
  for (const text of command.args) requireUtf8(text, 'the arguments');
}

async function buildProgram(argv: readonly string[], version: string, run: Run): Promise<Command> {
  const program = new Command('varve')
    .description('Encrypted, deduplicated backups that mount as a read-only file system of points in time.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help; for a command: varve help COMMAND')
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      outputError: () => undefined,
      writeOut: (text) => run.out.page(text),
      writeErr: (text) => run.out.page(text),
    });
  addGlobalOptions(program);
  program.addHelpText('after', `\n${ENVIRONMENT}\n\n${exitTable()}\n\n${EXAMPLES}`);
  program.hook('preAction', (_, command) => requireUtf8Arguments(command));
  const verb = findVerb(argv);
  for (const row of COMMANDS) {
    const command = program.command(row.name).description(row.summary).helpOption('-h, --help', 'print help');
    if (row.alias !== undefined) command.alias(row.alias);
    if (verb !== undefined && (verb === row.name || verb === row.alias)) (await row.load()).configure(command, run);
  }
  return program;
}

/** Where in the program an error came from, without its message, in which others may have written lines. */
function traceOf({ stack = '', message = '' }: Error): string {
  const at = stack.indexOf(message);
  return at < 0 || message === '' ? stack : stack.slice(at + message.length).replace(/^\n/, '');
}

/** Reports `error` on stderr: a line for people, an object with --json. */
function report(out: Output, error: unknown, status: number, verbose: boolean): void {
  const { message, details } = error as { message?: string; details?: Readonly<Record<string, unknown>> };
  const code =
    error instanceof CommanderError || error instanceof UsageError ? 'USAGE' : ((error as { code?: unknown }).code ?? 'FAILED');
  const text = (message ?? String(error)).replace(/^error: /, '').replace(/\n(\(Did you mean .*\))$/, ' $1');
  reportReady({ failed: { message: text, error: String(code), code: status } });
  out.error(text, { ...(details ?? {}), code: status, error: code }, verbose ? traceOf(error as Error) : undefined);
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
  let reported = false;
  const isVerbose = (): boolean => (program?.opts<{ verbose?: number }>().verbose ?? 0) > 1;
  // What nobody awaits, and nothing expects: a line like any other error, and the end.
  process.once('uncaughtException', (error) => {
    report(out, error, Exit.failed, isVerbose());
    process.exit(Exit.failed);
  });
  try {
    program = await buildProgram(argv, version, run);
    if (argv.length === 0) {
      out.page(program.helpInformation());
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
      report(out, error, status, isVerbose());
      reported = true;
      run.status = status;
    }
  }
  if (out.failed !== undefined && !reported) {
    report(out, out.failed, Exit.failed, isVerbose());
    run.status = Exit.failed;
  }
  process.exitCode = run.status;
  // Terminal input stays open after a prompt; nothing is left to do by now.
  process.stdin.unref?.();
}
