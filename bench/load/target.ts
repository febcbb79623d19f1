import { type Dispatcher, Pool } from 'undici';
import type { Begin } from './load.js';

/** Where a load generator posts to, always the same bytes. */
export interface Target {
  origin: string;
  path: string;
  headers: Record<string, string>;
  body: string;
  /** Whose ids the deliveries have: `sent`, the generator's own `webhook-id`, or the ones that are answered. */
  ids: 'sent' | 'answered' | 'answered-batch';
}

/** @returns what posts once to the target; it fails when the answer is not 2xx */
export function poster(target: Target): Begin {
  const pool = poolFor(target.origin);
  const request = { path: target.path, method: 'POST' as const, body: target.body };
  const headers = Object.entries(target.headers).flat();
  switch (target.ids) {
    case 'sent':
      return async () => {
        const id = nextId();
        await post(pool, { ...request, headers: [...headers, 'webhook-id', id] });
        return [id];
      };
    case 'answered':
      return async () => [(JSON.parse(await post(pool, { ...request, headers })) as { id: string }).id];
    case 'answered-batch':
      return async () => {
        const { data } = JSON.parse(await post(pool, { ...request, headers })) as { data: { id: string }[] };
        return data.map(({ id }) => id);
      };
  }
}

const pools = new Map<string, Pool>();
function poolFor(origin: string): Pool {
  const known = pools.get(origin);
  if (known) return known;
  // As many connections as posts under way: one that is late must not make the next one late.
  const pool = new Pool(origin);
  pools.set(origin, pool);
  return pool;
}

let sent = 0;
const nextId = (): string => `sent-${process.pid}-${(sent += 1)}`;

/** Nothing between undici's own parser and the text: the less the generator costs, the less it takes from what it measures. */
function post(pool: Pool, options: Dispatcher.DispatchOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    let status = 0;
    let text = '';
    pool.dispatch(options, {
      onRequestStart: () => undefined,
      onResponseStart: (_, statusCode) => {
        status = statusCode;
      },
      onResponseData: (_, chunk) => {
        text += chunk.toString('latin1');
      },
      onResponseEnd: () => {
        if (status < 300) resolve(text);
        else reject(new Error(`POST ${options.path} answered ${status}: ${text}`));
      },
      onResponseError: (_, error) => reject(error),
    });
  });
}
