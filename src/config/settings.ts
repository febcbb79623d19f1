import { z } from 'zod';
import { LANES } from '../common/lane.js';
import { KeyRing } from '../secrets/key-ring.js';
import { parseEgressNetworks } from '../transport/egress-networks.js';

const integer = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d+$/, 'must be a whole number')
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be from ${min} to ${max}`);

const list = <T extends string>(values: readonly [T, ...T[]]) =>
  z
    .string()
    .transform((text) => text.split(',').map((part) => part.trim()))
    .pipe(z.array(z.enum(values)).min(1));

/** A text that `parse` takes; what it throws is what is wrong. */
const parsedBy = (parse: (text: string) => unknown) =>
  z.string().superRefine((text, context) => {
    try {
      parse(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
    }
  });

const flag = z.enum(['true', 'false']).transform((text) => text === 'true');

interface Definition<Schema extends z.ZodType> {
  schema: Schema;
  /** As it would be written in the environment; absent means unset. */
  default?: string;
  meaning: string;
  secret?: boolean;
}

const define = <const D extends Definition<z.ZodType>>(definition: D): D => definition;

/** Every setting that a process reads, with its default and meaning: the one list behind validation, `posthorn config` and the docs. */
export const SETTINGS = {
  POSTHORN_HOST: define({
    schema: z.string().min(1),
    default: '127.0.0.1',
    meaning: 'address the API listens on',
  }),
  POSTHORN_PORT: define({
    schema: integer(0, 65535),
    default: '8400',
    meaning: 'port the API listens on; 0 takes a free one',
  }),
  POSTHORN_ROLES: define({
    schema: list(['api', 'worker']),
    default: 'api,worker',
    meaning: 'what this process does: `api`, `worker`, or both',
  }),
  POSTHORN_ROOT_KEY: define({
    schema: z
      .string()
      .regex(/^phk_[A-Za-z0-9_-]{20,200}$/, 'must be `phk_` and at least 20 letters, digits, `-` or `_`'),
    meaning: 'operator key accepted from the start; embedded: made on first start and printed',
    secret: true,
  }),
  POSTHORN_DATABASE_URL: define({
    schema: z.string().regex(/^postgres(ql)?:\/\//, 'must begin with `postgres://` or `postgresql://`'),
    meaning: 'PostgreSQL 15 or newer; unset: an embedded PostgreSQL under the data folder',
    secret: true,
  }),
  POSTHORN_DATABASE_POOL: define({
    schema: integer(2, 500),
    default: '20',
    meaning: 'database connections of this process at most',
  }),
  POSTHORN_TEMPORAL_ADDRESS: define({
    schema: z.string().regex(/^[^/\s]+:\d+$/, 'must be host:port'),
    meaning: 'Temporal cluster, host:port; unset: an embedded server',
  }),
  POSTHORN_TEMPORAL_NAMESPACE: define({
    schema: z.string().min(1),
    default: 'default',
    meaning: 'Temporal namespace',
  }),
  POSTHORN_TEMPORAL_TASK_QUEUE: define({
    schema: z.string().min(1).max(200),
    default: 'posthorn-deliveries',
    meaning: 'task queue of the delivery workflows; two systems in one namespace need two',
  }),
  POSTHORN_TEMPORAL_TLS: define({ schema: flag, default: 'false', meaning: 'connect to Temporal with TLS' }),
  POSTHORN_TEMPORAL_API_KEY: define({
    schema: z.string().min(1),
    meaning: 'API key for Temporal; implies TLS',
    secret: true,
  }),
  POSTHORN_TEMPORAL_UI_URL: define({
    schema: z.url({ protocol: /^https?$/ }),
    meaning: "base of Temporal's Web UI, for links; embedded: known",
  }),
  POSTHORN_TEMPORAL_UI_PORT: define({
    schema: integer(1, 65535),
    meaning: "port of the embedded Temporal's Web UI; unset: 8233, or a free one",
  }),
  POSTHORN_DATA_DIR: define({
    schema: z.string().min(1),
    default: '.posthorn',
    meaning: 'folder of the embedded databases and generated keys',
  }),
  POSTHORN_EGRESS_ALLOW: define({
    schema: parsedBy(parseEgressNetworks),
    meaning:
      'networks (CIDR, comma-separated) that deliveries may reach although they are not public, there with `http:` too; embedded: `127.0.0.0/8,::1/128`',
  }),
  POSTHORN_ENCRYPTION_KEYS: define({
    schema: parsedBy((text) => new KeyRing(text)),
    meaning:
      'key ring for secrets at rest, newest first: `name:base64 of 32 bytes`, comma-separated; embedded: made on first start',
    secret: true,
  }),
  POSTHORN_LANE: define({
    schema: z.enum(LANES),
    default: 'auto',
    meaning:
      'how deliveries run: `durable`, each one a workflow from its first attempt; `express`, a workflow only for what the first attempt did not finish; `auto`, durable while the engine keeps up',
  }),
  POSTHORN_EVENT_BYTES: define({
    schema: integer(1024, 16 * 1024 * 1024),
    default: '1048576',
    meaning: 'largest body of one published event, in bytes',
  }),
  POSTHORN_DISPATCH_CONCURRENCY: define({
    schema: integer(1, 1000),
    default: '32',
    meaning:
      'workflows being started at once in this process: asked for, and their first attempt not yet begun',
  }),
  POSTHORN_ATTEMPT_CONCURRENCY: define({
    schema: integer(1, 10000),
    default: '1000',
    meaning: 'attempts under way at once in this process',
  }),
  POSTHORN_RETRIES_PER_SECOND: define({
    schema: integer(1, 10000),
    default: '20',
    meaning:
      'retries that this process plans for one second; half of them may be for one endpoint, a quarter for endpoints that give no answer',
  }),
  POSTHORN_SHUTDOWN_SECONDS: define({
    schema: integer(0, 600),
    default: '20',
    meaning: 'grace for attempts under way when the process is told to stop',
  }),
  POSTHORN_LOG_LEVEL: define({
    schema: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']),
    default: 'info',
    meaning: 'least severe log line that is written',
  }),
} as const;

type Definitions = typeof SETTINGS;
export type SettingName = keyof Definitions;

type WithDefault = {
  [Name in SettingName]: Definitions[Name] extends { default: string } ? Name : never;
}[SettingName];

/** Validated settings, by the name of their environment variable without the prefix. */
export type Settings = {
  [Name in SettingName as Name extends `POSTHORN_${infer Short}` ? Short : never]:
    z.output<Definitions[Name]['schema']> | (Name extends WithDefault ? never : undefined);
};

/** One or more settings are wrong; `lines` has one clear line for each. */
export class SettingsError extends Error {
  constructor(readonly lines: string[]) {
    super(lines.join('\n'));
    this.name = 'SettingsError';
  }
}

/**
 * Reads and checks every `POSTHORN_*` variable. An empty value counts as unset.
 *
 * @throws SettingsError naming each bad one
 */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const lines: string[] = [];
  const settings: Record<string, unknown> = {};
  for (const [name, definition] of Object.entries(SETTINGS) as [SettingName, Definition<z.ZodType>][]) {
    const raw = env[name] === undefined || env[name] === '' ? definition.default : env[name];
    const short = name.slice('POSTHORN_'.length);
    if (raw === undefined) {
      settings[short] = undefined;
      continue;
    }
    const parsed = definition.schema.safeParse(raw);
    if (parsed.success) settings[short] = parsed.data;
    else
      lines.push(
        `${name}: ${parsed.error.issues.map((issue) => issue.message).join('; ')} (${definition.meaning})`,
      );
  }
  if (lines.length > 0) throw new SettingsError(lines);
  return settings as Settings;
}

/** Names in the environment that look like settings and are none: a misspelt one is worth a warning. */
export function unknownSettings(env: Readonly<Record<string, string | undefined>>): string[] {
  const known = new Set<string>([...Object.keys(SETTINGS), ...SETUP_VARIABLES]);
  return Object.keys(env).filter((name) => name.startsWith('POSTHORN_') && !known.has(name));
}

/** Read by the set-up of the embedded servers and by the demo alone. */
const SETUP_VARIABLES = [
  'POSTHORN_TEMPORAL_CLI',
  'POSTHORN_TEMPORAL_TEST_SERVER',
  'POSTHORN_CACHE_DIR',
  'POSTHORN_URL',
];
