import { randomBytes } from 'node:crypto';
import pg from 'pg';

/** The servers that the global set-up started for the whole run. */
export function testServers(): { databaseUrl: string; temporalAddress: string } {
  return {
    databaseUrl: given('POSTHORN_TEST_DATABASE_URL'),
    temporalAddress: given('POSTHORN_TEST_TEMPORAL_ADDRESS'),
  };
}

/** A new, empty database of its own. */
export async function createDatabase(): Promise<{ url: string; drop: () => Promise<void> }> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await administer(`CREATE DATABASE ${name}`);
  const url = new URL(testServers().databaseUrl);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => administer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}

async function administer(statement: string): Promise<void> {
  const client = new pg.Client(testServers().databaseUrl);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

function given(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set; run the tests with \`npm test\``);
  return value;
}
