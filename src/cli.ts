#!/usr/bin/env node
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ALL_SCOPES, type Scope } from './auth/scopes.js';
import { fromId } from './common/ids.js';
import { Problem } from './common/problems.js';
import { VERSION } from './common/version.js';
import { DataFolder } from './config/data-folder.js';
import { readSettings, type Settings, SETTINGS, SettingsError, unknownSettings } from './config/settings.js';
import { Database } from './database/database.js';
import { startEmbedded } from './embedded/index.js';
import { problemsPage } from './http/problems-page.js';
import { renderOpenApi } from './http/render-openapi.js';
import { KeysService } from './keys/keys.service.js';
import { createLogger } from './logging/logger.js';
import { serve, type Serving } from './serve.js';
import { say, sayProgress, settleProgress, welcome } from './terminal.js';

const USAGE = `posthorn ${VERSION}

  posthorn serve                      start the API and the worker (what \`npm start\` does)
  posthorn config                     every setting with its value, default and meaning
  posthorn migrate                    bring the database schema up to date
  posthorn keys create --name NAME [--account acc_…] [--scopes a,b] [--expires-at TIME]
                                      make an operator key, or one bound to an account
  posthorn openapi [--write FILE | --check FILE]
                                      print, write or compare the OpenAPI document
  posthorn errors [--write FILE | --check FILE]
                                      the same for the page of error codes
`;

/** The command line is wrong; the message says how. */
class UsageError extends Error {}

export async function run(args: string[]): Promise<void> {
  try {
    await dispatch(args);
  } catch (error) {
    settleProgress();
    process.exitCode = 1;
    if (error instanceof SettingsError) for (const line of error.lines) say(line);
    else if (error instanceof UsageError) say(`${error.message}\n\n${USAGE}`);
    else if (error instanceof Error) say(explain(error));
    else throw error;
    // Temporal's native runtime, once installed, would keep a process alive that has nothing left to do, and no
    // supervisor starts again what has not ended.
    process.exit();
  }
}

async function dispatch([command, ...rest]: string[]): Promise<void> {
  switch (command) {
    case undefined:
    case 'help':
    case '--help':
    case '-h':
      process.stdout.write(USAGE);
      return;
    case '--version':
      process.stdout.write(`${VERSION}\n`);
      return;
    case 'serve':
      return runServe(settingsOf());
    case 'config':
      showConfig();
      return;
    case 'migrate':
      return withDatabase((database) => database.migrate());
    case 'keys':
      return createKey(rest);
    case 'openapi':
      return document(rest, 'openapi', renderOpenApi);
    case 'errors':
      return document(rest, 'errors', () => Promise.resolve(problemsPage()));
    default:
      throw new UsageError(`There is no command \`${command}\`.`);
  }
}

function settingsOf(): Settings {
  for (const name of unknownSettings(process.env)) say(`${name}: there is no such setting; it is ignored`);
  return readSettings(process.env);
}

async function runServe(settings: Settings): Promise<void> {
  const logger = createLogger(settings.LOG_LEVEL);
  const started = Date.now();
  let signals = 0;
  let wake: () => void = () => undefined;
  const stopAsked = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const up: { serving?: Serving } = {};
  const onSignal = () => {
    signals += 1;
    if (signals === 1 && up.serving) {
      wake();
      return;
    }
    settleProgress();
    say('Stopping at once.');
    // Before it is up, servers that were started end with this process.
    up.serving?.kill();
    process.exit(130);
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const serving = await serve({ settings, logger, progress: sayProgress });
  up.serving = serving;
  settleProgress();
  process.stdout.write(welcome(serving, Date.now() - started));
  await stopAsked;
  say('Stopping: HTTP first, then the worker, then the servers. Ctrl-C again to stop at once.');
  await serving.stop();
  say('Stopped.');
  process.exit(0);
}

function showConfig(): void {
  const settings: Record<string, string | number | boolean | string[] | undefined> = readSettings(
    process.env,
  );
  for (const [name, definition] of Object.entries(SETTINGS)) {
    const value = settings[name.slice('POSTHORN_'.length)];
    const secret = 'secret' in definition;
    const shown = value === undefined ? '(unset)' : secret ? '(set)' : String(value);
    const byDefault = 'default' in definition ? `, default ${definition.default}` : '';
    process.stdout.write(`${name}=${shown}\n    ${definition.meaning}${byDefault}\n`);
  }
}

async function createKey([verb, ...args]: string[]): Promise<void> {
  if (verb !== 'create') throw new UsageError('There is only `keys create`.');
  const { values } = parse(args, {
    name: { type: 'string' },
    account: { type: 'string' },
    scopes: { type: 'string' },
    'expires-at': { type: 'string' },
  });
  if (values.name === undefined) throw new UsageError('`--name` is missing.');
  const accountId = values.account === undefined ? null : fromId('account', values.account);
  if (values.account !== undefined && accountId === null)
    throw new UsageError('`--account` must be an `acc_…` id.');
  const scopes = values.scopes?.split(',').map((scope) => scope.trim());
  const unknown = scopes?.filter((scope) => !(ALL_SCOPES as string[]).includes(scope)) ?? [];
  if (unknown.length > 0) {
    throw new UsageError(`There is no scope ${unknown.join(', ')}; there are ${ALL_SCOPES.join(', ')}.`);
  }
  const expiresAt = values['expires-at'];
  if (expiresAt !== undefined && !(Date.parse(expiresAt) > Date.now())) {
    throw new UsageError('`--expires-at` must be an RFC 3339 time in the future.');
  }
  await withDatabase(async (database, settings) => {
    const keys = new KeysService(database, settings);
    const created = await keys.create(null, accountId, {
      name: values.name ?? '',
      ...(scopes ? { scopes: scopes as Scope[] } : {}),
      ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt).toISOString() }),
    });
    process.stdout.write(`${created.secret}\n`);
    say(`${created.id} (${created.accountId ?? 'operator'}): keep the key now, it is not shown again.`);
  });
}

/** Writes or compares a generated file that reviewers read. */
async function document(args: string[], command: string, render: () => Promise<string>): Promise<void> {
  const { values } = parse(args, { write: { type: 'string' }, check: { type: 'string' } });
  const text = await render();
  if (values.write !== undefined) writeFileSync(values.write, text);
  else if (values.check === undefined) process.stdout.write(text);
  else if (readFileSync(values.check, 'utf8') !== text) {
    throw new Error(
      `${values.check} is out of date; run \`npm run posthorn -- ${command} --write ${values.check}\``,
    );
  } else say(`${values.check} is up to date.`);
}

function parse<const Options extends Record<string, { type: 'string' }>>(args: string[], options: Options) {
  try {
    return parseArgs({ args, options, strict: true, allowPositionals: false });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** Uses the database of the settings, the one that runs embedded here, or starts the embedded one for the moment. */
async function withDatabase(use: (database: Database, settings: Settings) => Promise<void>): Promise<void> {
  const settings = settingsOf();
  const folder = new DataFolder(settings.DATA_DIR);
  const running = settings.DATABASE_URL === undefined ? folder.running()?.databaseUrl : undefined;
  const url = settings.DATABASE_URL ?? running;
  const servers =
    url === undefined
      ? await startEmbedded({
          dataDir: folder.path,
          postgres: true,
          temporal: false,
          temporalUiPort: undefined,
          searchAttributes: {},
          progress: sayProgress,
        })
      : null;
  const database = new Database(url ?? servers?.databaseUrl ?? '', 2);
  try {
    await database.open();
    await database.migrate();
    await use(database, settings);
  } finally {
    await database.close();
    await servers?.stop();
  }
}

function explain(error: Error): string {
  if (error instanceof Problem) return `${error.code}: ${error.message}`;
  const { code, port } = error as NodeJS.ErrnoException & { port?: number };
  if (code === 'EADDRINUSE')
    return `Port ${port ?? ''} is taken. Set POSTHORN_PORT to another one, or to 0 for a free one.`;
  if (code === 'EACCES' && port !== undefined)
    return `Port ${port} needs more rights. Set POSTHORN_PORT to one above 1023.`;
  if (process.env.POSTHORN_LOG_LEVEL === 'debug') return error.stack ?? error.message;
  return error.message;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await run(process.argv.slice(2));
}
