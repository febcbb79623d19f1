import { readFileSync } from 'node:fs';
import { describe, expect, it, test } from '@jest/globals';
import { parse } from 'yaml';
import { dynamicConfig } from '../../scripts/cluster/temporal-config.js';
import { SERVER_VERSION } from '../../scripts/cluster/temporal-programs.js';
import { readSettings, SETTINGS } from '../../src/config/settings.js';
import { KeyRing } from '../../src/secrets/key-ring.js';

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');

interface Service {
  image: string;
  build?: string;
  environment?: Record<string, string>;
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[] };
  ports?: string[];
  networks: string[];
  volumes?: string[];
  configs?: { source: string; target: string }[];
  entrypoint?: string[];
  restart: string;
}

interface Compose {
  services: Record<string, Service>;
  networks: Record<string, unknown>;
  volumes: Record<string, unknown>;
  configs: Record<string, { content: string }>;
}

const text = read('docker-compose.yml');
const compose = parse(text, { merge: true }) as Compose;
const dockerfile = read('Dockerfile');
const services = Object.entries(compose.services);
const posthorn = services.filter(([, { build }]) => build !== undefined);

const service = (name: string): Service => {
  const found = compose.services[name];
  if (!found) throw new Error(`there is no service ${name}`);
  return found;
};

/** As Compose does: `${NAME}`, `${NAME:-default}`, `${NAME:?why it is needed}`, and `$$` for a dollar. */
function interpolate(value: string, env: Record<string, string>): string {
  return value.replace(
    /\$\$|\$\{(\w+)(?::([-?])([^}]*))?\}/g,
    (all, name: string | undefined, kind: string | undefined, rest: string | undefined) => {
      if (name === undefined) return '$';
      const given = env[name];
      if (given !== undefined && given !== '') return given;
      if (kind === '?') throw new Error(`${name} is required: ${rest ?? ''}`);
      return kind === '-' ? (rest ?? '') : '';
    },
  );
}

const GIVEN = {
  POSTGRES_PASSWORD: 'a1',
  POSTHORN_DB_PASSWORD: 'b2',
  TEMPORAL_DB_PASSWORD: 'c3',
  POSTHORN_ROOT_KEY: `phk_${'d4'.repeat(20)}`,
  POSTHORN_ENCRYPTION_KEYS: KeyRing.generate(),
};

const environmentOf = ({ environment }: Service): Record<string, string> =>
  Object.fromEntries(
    Object.entries(environment ?? {}).map(([name, value]) => [name, interpolate(value, GIVEN)]),
  );

describe.each(services)('the service %s', (name, definition) => {
  it('has an image of one version', () => {
    expect(definition.image).toMatch(/^[a-z][a-z/-]*:\d+(\.\d+)+$/);
  });

  it('waits for services that are there, and for a state that they reach', () => {
    for (const [other, { condition }] of Object.entries(definition.depends_on ?? {})) {
      const { healthcheck, restart } = service(other);
      switch (condition) {
        case 'service_healthy':
          expect(healthcheck?.test[0]).toBe('CMD');
          break;
        case 'service_completed_successfully':
          // One that is restarted always never completes.
          expect(restart).toMatch(/^on-failure:\d+$/);
          break;
        default:
          throw new Error(`${name} waits for ${other} to be ${condition}`);
      }
    }
  });

  it('uses networks, volumes and configs that are declared', () => {
    for (const network of definition.networks) expect(compose.networks).toHaveProperty(network);
    for (const volume of definition.volumes ?? [])
      expect(compose.volumes).toHaveProperty([volume.split(':')[0] ?? '']);
    for (const { source, target } of definition.configs ?? []) {
      expect(compose.configs).toHaveProperty([source]);
      const [, script] = definition.entrypoint ?? [];
      if (script !== undefined) expect(target).toBe(script);
    }
  });

  it('is published to this machine alone, if at all', () => {
    for (const port of definition.ports ?? []) {
      expect(interpolate(port, GIVEN)).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
      expect(definition.networks).toContain('public');
    }
  });

  it('reaches its servers over a network that they share', () => {
    for (const value of Object.values(environmentOf(definition))) {
      for (const other of Object.keys(compose.services)) {
        if (!new RegExp(`(^|[@/])${other}(:\\d+|$)`).test(value)) continue;
        expect(
          definition.networks.filter((network) => service(other).networks.includes(network)),
        ).not.toEqual([]);
      }
    }
  });
});

test('databases and Temporal are reached by the services alone', () => {
  expect(compose.networks.backend).toEqual({ internal: true });
  for (const name of ['postgres', 'temporal', 'temporal-schema', 'temporal-namespace']) {
    expect(service(name).networks).toEqual(['backend']);
    expect(service(name).ports).toBeUndefined();
  }
});

test.each(Object.keys(GIVEN))('without %s nothing starts', (name) => {
  const without = Object.fromEntries(Object.entries(GIVEN).filter(([other]) => other !== name));
  expect(() => interpolate(text, without)).toThrow(`${name} is required`);
});

test('no secret is written into the file', () => {
  for (const [, { environment }] of services) {
    for (const [name, value] of Object.entries(environment ?? {}))
      if (/PASSWORD|PWD|_KEYS?$/.test(name)) expect(value).toMatch(/^\$\{\w+:\?/);
  }
});

describe('Posthorn in it', () => {
  it('is one process for each role', () => {
    expect(posthorn.map(([name, { environment }]) => [name, environment?.POSTHORN_ROLES])).toEqual([
      ['api', 'api'],
      ['worker', 'worker'],
    ]);
  });

  it.each(posthorn)('%s is given settings that exist and are valid', (_, definition) => {
    const environment = environmentOf(definition);
    for (const name of Object.keys(environment)) expect(SETTINGS).toHaveProperty([name]);
    const settings = readSettings(environment);
    expect(settings.DATABASE_URL).toBe('postgres://posthorn:b2@postgres:5432/posthorn');
    expect(settings.TEMPORAL_ADDRESS).toBe('temporal:7233');
    expect(settings.ENCRYPTION_KEYS).toBe(GIVEN.POSTHORN_ENCRYPTION_KEYS);
    expect(settings.EGRESS_ALLOW).toBeUndefined();
  });

  it.each(posthorn)('%s is given longer to stop than its grace', (_, definition) => {
    const { stop_grace_period: period } = definition as Service & { stop_grace_period?: string };
    expect(Number(period?.replace(/s$/, ''))).toBeGreaterThan(
      readSettings(environmentOf(definition)).SHUTDOWN_SECONDS + 10,
    );
  });

  it('listens where the port is published, and where the image looks after its health', () => {
    const [published] = service('api').ports ?? [];
    expect(published?.split(':').at(-1)).toBe(SETTINGS.POSTHORN_PORT.default);
    expect(dockerfile).toContain(`EXPOSE ${SETTINGS.POSTHORN_PORT.default}\n`);
    expect(dockerfile).toMatch(/POSTHORN_HOST=0\.0\.0\.0/);
    expect(dockerfile).toMatch(/HEALTHCHECK [^]*\/healthz/);
  });

  it('runs as another user than root', () => {
    expect(dockerfile).toMatch(/^USER node$/m);
  });

  it('links to the Web UI where that is published', () => {
    const [published] = service('temporal-ui').ports ?? [];
    const [, port] = interpolate(published ?? '', GIVEN).split(':');
    expect(environmentOf(service('api')).POSTHORN_TEMPORAL_UI_URL).toBe(`http://localhost:${port}`);
    expect(published?.split(':').at(-1)).toBe(service('temporal-ui').environment?.TEMPORAL_UI_PORT);
  });
});

describe('Temporal in it', () => {
  it('has tools of the server’s own version', () => {
    const version = (name: string) => service(name).image.split(':')[1];
    expect(version('temporal-schema')).toBe(version('temporal'));
    expect(version('temporal-namespace')).toBe(version('temporal'));
  });

  it('is the server that the cluster tests run on, configured alike', () => {
    expect(service('temporal').image).toBe(`temporalio/server:${SERVER_VERSION}`);
    expect(parse(compose.configs['temporal-dynamic-config']?.content ?? '')).toEqual(dynamicConfig());
  });

  it('uses the databases and the role that are made for it', () => {
    const roles = compose.configs['postgres-roles']?.content ?? '';
    const { DBNAME, VISIBILITY_DBNAME, POSTGRES_USER } = service('temporal').environment ?? {};
    for (const database of [DBNAME, VISIBILITY_DBNAME]) {
      expect(roles).toContain(`CREATE DATABASE ${database} OWNER ${POSTGRES_USER};`);
      expect(compose.configs['temporal-schema']?.content).toContain(database);
    }
    expect(service('temporal-schema').environment?.SQL_USER).toBe(POSTGRES_USER);
  });

  it('has the namespace that Posthorn uses', () => {
    const namespace = environmentOf(service('api')).POSTHORN_TEMPORAL_NAMESPACE ?? '';
    expect(compose.configs['temporal-namespace']?.content).toContain(
      `namespace create --namespace ${namespace} `,
    );
  });

  it('reads the dynamic configuration that is mounted', () => {
    const [config] = service('temporal').configs ?? [];
    expect(service('temporal').environment?.DYNAMIC_CONFIG_FILE_PATH).toBe(config?.target);
    expect(config?.source).toBe('temporal-dynamic-config');
  });
});

describe('the image', () => {
  it('is built on one version of Node that the project supports', () => {
    const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image);
    expect(new Set(bases).size).toBe(1);
    expect(bases[0]).toMatch(/^node:22\.\d+-bookworm-slim$/);
  });

  it('is given everything that it copies', () => {
    const kept = new Set([...read('.dockerignore').matchAll(/^!(.+)$/gm)].map(([, path]) => path));
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, paths]) =>
      (paths ?? '').split(' '),
    );
    for (const path of copied) expect(kept).toContain(path);
    for (const path of kept) expect(copied).toContain(path);
  });
});
