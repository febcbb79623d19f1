import { type Dispatcher, Pool } from 'undici';
import type { Begin } from './load.js';

/** By what a load generator posts: with as little as can be between it and the socket, or as most programs do. */
export const CLIENTS = ['dispatcher', 'fetch'] as const;
export type Client = (typeof CLIENTS)[number];

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
export function poster(target: Target, client: Client): Begin {
  const post = client === 'fetch' ? fetcher(target) : dispatcher(target);
  switch (target.ids) {
    case 'sent':
      return async () => {
        const id = nextId();
        await post({ 'webhook-id': id });
        return [id];
      };
    case 'answered':
      return async () => [(JSON.parse(await post({})) as { id: string }).id];
    case 'answered-batch':
      return async () => {
        const { data } = JSON.parse(await post({})) as { data: { id: string }[] };
        return data.map(({ id }) => id);
      };
  }
}

/** Posts once, with these headers beside the target's. @returns the text of the answer */
type Post = (headers: Record<string, string>) => Promise<string>;

const fetcher =
  ({ origin, path, headers, body }: Target): Post =>
  async (more) => {
    const response = await fetch(origin + path, { method: 'POST', headers: { ...headers, ...more }, body });
    const text = await response.text();
    if (!response.ok) throw refused(path, response.status, text);
    return text;
  };

function dispatcher({ origin, path, headers, body }: Target): Post {
  const pool = poolFor(origin);
  const always = Object.entries(headers).flat();
  return (more) =>
    dispatch(pool, { path, method: 'POST', body, headers: [...always, ...Object.entries(more).flat()] });
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
function dispatch(pool: Pool, options: Dispatcher.DispatchOptions): Promise<string> {
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
        else reject(refused(options.path, status, text));
      },
      onResponseError: (_, error) => reject(error),
    });
  });
}

const refused = (path: string, status: number, text: string): Error =>
  new Error(`POST ${path} answered ${status}: ${text}`);
