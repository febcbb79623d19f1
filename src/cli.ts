#!/usr/bin/env node
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { USAGE, UsageError } from './command-line/usage.js';
import { Problem } from './common/problems.js';
import { VERSION } from './common/version.js';
import { SettingsError } from './config/settings.js';
import { say, settleProgress } from './terminal.js';

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

/** Each command brings along what it alone needs: the whole of Posthorn takes seconds to load. */
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
      return (await import('./command-line/serve.js')).runServe();
    case 'config':
      (await import('./command-line/show-config.js')).showConfig();
      return;
    case 'migrate': {
      const { withDatabase } = await import('./command-line/with-database.js');
      return withDatabase((database) => database.migrate());
    }
    case 'keys':
      return (await import('./command-line/keys.js')).keys(rest);
    case 'audit':
      return (await import('./command-line/audit.js')).audit(rest);
    case 'openapi': {
      const [{ document }, { renderOpenApi }] = await Promise.all([
        import('./command-line/document.js'),
        import('./http/render-openapi.js'),
      ]);
      return document(rest, 'openapi', renderOpenApi);
    }
    case 'errors': {
      const [{ document }, { problemsPage }] = await Promise.all([
        import('./command-line/document.js'),
        import('./http/problems-page.js'),
      ]);
      return document(rest, 'errors', () => Promise.resolve(problemsPage()));
    }
    default:
      throw new UsageError(`There is no command \`${command}\`.`);
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
