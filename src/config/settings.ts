import { z } from 'zod';
import { fromId } from '../common/ids.js';
import { VERIFICATIONS } from '../verification/judge.js';
import { checkIssuer } from '../auth/issuer.js';
import { LANES } from '../common/lane.js';
import { MIN_RETENTION_DAYS, PLAN_NAME } from '../plans/plans.schema.js';
import { KeyRing } from '../secrets/key-ring.js';
import { parseEgressNetworks } from '../transport/egress-networks.js';
import { parseEgressProxy, RESOLVERS } from '../transport/egress-proxy.js';

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
  POSTHORN_TRUSTED_PROXIES: define({
    schema: parsedBy(parseEgressNetworks).transform((text) =>
      text
        .split(',')
        .map((network) => network.trim())
        .filter((network) => network !== ''),
    ),
    meaning:
      'networks (CIDR, comma-separated) of the proxies before the API whose `X-Forwarded-For` is believed; unset: of none',
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
  POSTHORN_EGRESS_PROXY: define({
    schema: parsedBy(parseEgressProxy),
    meaning:
      'proxy that every delivery goes through, by HTTP CONNECT: `http://[user:password@]host:port`, or `https://` to a proxy that speaks TLS',
    secret: true,
  }),
  POSTHORN_EGRESS_PROXY_RESOLVES: define({
    schema: z.enum(RESOLVERS),
    default: 'posthorn',
    meaning:
      'who turns host names into addresses where there is a proxy: `posthorn`, which checks them; `proxy`, for a filtering proxy that wants names and keeps private addresses out itself',
  }),
  POSTHORN_EGRESS_ADDRESSES: define({
    schema: parsedBy(parseEgressNetworks),
    meaning:
      'networks (CIDR, comma-separated) that deliveries come from as receivers see them, published for their firewalls',
  }),
  POSTHORN_ENCRYPTION_KEYS: define({
    schema: parsedBy((text) => new KeyRing(text)),
    meaning:
      'key ring for secrets at rest, newest first: `name:base64 of 32 bytes`, comma-separated; embedded: made on first start',
    secret: true,
  }),
  POSTHORN_OIDC_ISSUER: define({
    schema: parsedBy(checkIssuer),
    meaning: 'OpenID Connect issuer whose bearer tokens are accepted, as its tokens have it in `iss`',
  }),
  POSTHORN_OIDC_AUDIENCE: define({
    schema: z.string().min(1).max(500),
    meaning: 'what must stand in `aud` of such a token; required with the issuer',
  }),
  POSTHORN_OIDC_SCOPE_CLAIM: define({
    schema: z.string().min(1).max(200),
    default: 'scope',
    meaning: 'claim with the scopes of a token, separated by spaces or in a list',
  }),
  POSTHORN_OIDC_ACCOUNT_CLAIM: define({
    schema: z.string().min(1).max(200),
    meaning:
      "claim with the `acc_…` id that a token is bound to, `*` for an operator's; unset: every token is an operator's",
  }),
  POSTHORN_GUESSES_PER_ADDRESS: define({
    schema: integer(1, 1_000_000),
    default: '600',
    meaning:
      'wrong credentials a minute from one address (IPv6: one /64) until its next ones are answered 429, in each process',
  }),
  POSTHORN_GUESSES_PER_PREFIX: define({
    schema: integer(1, 1_000_000),
    default: '600',
    meaning:
      'wrong keys a minute with the same first letters, from anywhere, until addresses that sent one are answered 429, in each process',
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
    meaning: 'largest data of one published event, in bytes',
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
  POSTHORN_WAITING_DELIVERIES: define({
    schema: integer(2_000, 1_000_000),
    default: '50000',
    meaning:
      'deliveries that wait in the memory of this process for their first attempt at most, half of them of one endpoint; the others wait in PostgreSQL',
  }),
  POSTHORN_HOST_CROWD: define({
    schema: integer(1, 10000),
    default: '256',
    meaning:
      'requests of this process without an answer at one address and port past which a connection that does not come about is put down to their number: the attempt is put off, not counted',
  }),
  POSTHORN_RETRIES_PER_SECOND: define({
    schema: integer(1, 10000),
    default: '20',
    meaning:
      'retries that this process plans for one second; half of them may be for one endpoint, a quarter for endpoints that give no answer, and a quarter is for accounts with hardly any',
  }),
  POSTHORN_HEALTH_FAILING_SECONDS: define({
    schema: integer(1, 30 * 86_400),
    default: '3600',
    meaning: 'seconds without a success after which the owner of an endpoint is told that it fails',
  }),
  POSTHORN_HEALTH_DISABLE_SECONDS: define({
    schema: integer(1, 365 * 86_400),
    default: '432000',
    meaning: 'seconds without a success after which an endpoint is disabled',
  }),
  POSTHORN_CIRCUIT_FAILURES: define({
    schema: integer(0, 1_000_000),
    default: '50',
    meaning:
      'failures of an endpoint in a row, over several deliveries, after which it gets only a single attempt now and then; 0: never',
  }),
  POSTHORN_CIRCUIT_SECONDS: define({
    schema: integer(0, 86_400),
    default: '60',
    meaning: 'seconds without a success before which no circuit opens, however many failures there are',
  }),
  POSTHORN_CIRCUIT_PROBE_SECONDS: define({
    schema: integer(1, 86_400),
    default: '60',
    meaning: 'seconds between the single attempts at an endpoint whose circuit is open',
  }),
  POSTHORN_REENABLE_PROBE_SECONDS: define({
    schema: integer(0, 30 * 86_400),
    default: '0',
    meaning:
      'seconds between pings to an endpoint that was disabled for failing, for 30 days; one that succeeds enables it again; 0: by hand only',
  }),
  POSTHORN_RETENTION_DAYS: define({
    schema: integer(0, 3_650).refine(
      (days) => days === 0 || days >= MIN_RETENTION_DAYS,
      `must be 0 or at least ${MIN_RETENTION_DAYS}`,
    ),
    default: '90',
    meaning:
      'days after which an event is removed with its deliveries, once all of them have ended; 0: never',
  }),
  POSTHORN_VERIFICATION: define({
    schema: list(VERIFICATIONS),
    default: VERIFICATIONS.join(','),
    meaning: 'how endpoints may be verified; the first is what those get that say nothing',
  }),
  POSTHORN_WEBHOOK_ORIGIN: define({
    schema: z.string().regex(/^[A-Za-z0-9.-]{1,253}$/, 'must be a DNS name'),
    default: 'localhost',
    meaning: 'DNS name that receivers of a handshake give leave to, in `WebHook-Request-Origin`',
  }),
  POSTHORN_PUBLIC_URL: define({
    schema: z.url({ protocol: /^https?$/ }),
    meaning:
      'where the API is reached from outside; set: a handshake may be answered by its callback too, and thin events link there',
  }),
  POSTHORN_CLOUDEVENTS_SOURCE: define({
    schema: z
      .string()
      .max(1000)
      .regex(/^[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+$/, 'must be a URI, or a reference to one'),
    meaning: '`source` of every event that is sent as a CloudEvent; unset: `/accounts/acc_…` of its account',
  }),
  POSTHORN_EVENT_VALIDATION: define({
    schema: z.enum(['strict', 'warn', 'off']),
    default: 'off',
    meaning:
      'what becomes of an event that is not as the catalogue of event types says: refused (`strict`), taken with a warning (`warn`), or not looked at (`off`)',
  }),
  POSTHORN_DEFAULT_PLAN: define({
    schema: z.string().regex(PLAN_NAME, 'must be the name of a plan'),
    default: 'enterprise',
    meaning: 'plan of accounts that name none, or none that exists',
  }),
  POSTHORN_SMTP_URL: define({
    schema: z.url({ protocol: /^smtps?$/ }),
    meaning:
      'mail server for notifications, `smtp://user:password@host:587` or `smtps://…`; unset: no e-mail',
    secret: true,
  }),
  POSTHORN_MAIL_FROM: define({
    schema: z
      .string()
      .regex(/^[^\r\n]{1,100}@[^\r\n]{1,200}$/, 'must be an e-mail address, with a name or without'),
    default: 'Posthorn <posthorn@localhost>',
    meaning: 'sender of notifications by e-mail',
  }),
  POSTHORN_OPERATOR_ACCOUNT: define({
    schema: z.string().refine((id) => fromId('account', id) !== null, 'must be an `acc_…` id'),
    meaning: "account whose endpoints are told of every account's notifications",
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
  if (settings.OIDC_ISSUER !== undefined && settings.OIDC_AUDIENCE === undefined)
    lines.push('POSTHORN_OIDC_AUDIENCE: is required with POSTHORN_OIDC_ISSUER');
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
