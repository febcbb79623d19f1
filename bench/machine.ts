import { execFileSync } from 'node:child_process';
import { cpus, platform, totalmem } from 'node:os';
import { PROJECT_ROOT } from '../src/common/version.js';

/** What a result was made on. */
export function machine(): Record<string, string | number | null> {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cpus: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: platform(),
    node: process.version,
    commit: commit(),
  };
}

function commit(): string | null {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty', '--exclude=*'], {
      cwd: PROJECT_ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return null;
  }
}
