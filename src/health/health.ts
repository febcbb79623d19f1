import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { Temporal } from '../temporal/temporal.js';

export type Check = 'ok' | 'unavailable';

const CHECK_WITHIN_MS = 3_000;

/** Whether what this process depends on answers. */
@Injectable()
export class Health {
  private stopping = false;

  constructor(
    private readonly database: Database,
    private readonly temporal: Temporal,
  ) {}

  /** From now on no new work should be sent here. */
  stop(): void {
    this.stopping = true;
  }

  async check(): Promise<Record<string, Check>> {
    const [database, temporal] = await Promise.all([
      probe(() => this.database.ping()),
      probe(() => this.temporal.ping()),
    ]);
    return { database, temporal, ...(this.stopping ? { process: 'unavailable' as const } : {}) };
  }
}

async function probe(ask: () => Promise<void>): Promise<Check> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Check>((resolve) => {
    timer = setTimeout(() => resolve('unavailable'), CHECK_WITHIN_MS);
  });
  try {
    return await Promise.race([
      ask().then(
        () => 'ok' as const,
        () => 'unavailable' as const,
      ),
      late,
    ]);
  } catch {
    return 'unavailable';
  } finally {
    clearTimeout(timer);
  }
}
