import type { Serving } from './serve.js';

/** What is said to the person at the terminal goes to standard error; standard output is for what a command makes. */
export function say(line: string): void {
  settleProgress();
  process.stderr.write(`${line}\n`);
}

let pending = false;

/** One line that a terminal overwrites and a pipe collects. */
export function sayProgress(line: string): void {
  if (!process.stderr.isTTY) {
    process.stderr.write(`… ${line}\n`);
    return;
  }
  process.stderr.write(`\r\x1b[2K… ${line}`.slice(0, (process.stderr.columns || 80) + 6));
  pending = true;
}

export function settleProgress(): void {
  if (pending) process.stderr.write('\r\x1b[2K');
  pending = false;
}

/** What a start prints: where everything is, and one command that works when pasted. */
export function welcome(serving: Serving, tookMs: number): string {
  const { url, webUiUrl, operatorKey, locations } = serving;
  const lines = [
    '',
    `  Posthorn is up (${(tookMs / 1000).toFixed(1)} s)`,
    '',
    ...(serving.api
      ? [`  API            ${url}/v1`, `  API docs       ${url}/docs`]
      : [`  Worker         ${url}/healthz`]),
    ...(webUiUrl === null ? [] : [`  Temporal UI    ${webUiUrl}`]),
    ...locations.map(({ label, path }) => `  ${label.padEnd(14)} ${path}`),
  ];
  if (operatorKey?.fresh) lines.push(`  Operator key   ${operatorKey.key}   (shown this once)`);
  const key = operatorKey
    ? operatorKey.fresh
      ? operatorKey.key
      : `$(cat '${operatorKey.file}')`
    : '$POSTHORN_ROOT_KEY';
  if (!serving.api) return [...lines, '', ''].join('\n');
  lines.push(
    '',
    '  Make an account:',
    '',
    `  curl -s ${url}/v1/accounts -H "Authorization: Bearer ${key}" -H 'Content-Type: application/json' -d '{"name":"Acme"}'`,
    '',
    '  Or see it all at once: npm run demo',
    '',
    '',
  );
  return lines.join('\n');
}
