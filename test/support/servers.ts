import { randomBytes } from 'node:crypto';
import pg from 'pg';

/** The servers that the global set-up started for the whole run, and the database that it has made there. */
export function testServers(): { databaseUrl: string; template: string; temporalAddress: string } {
  return {
    databaseUrl: given('POSTHORN_TEST_DATABASE_URL'),
    template: given('POSTHORN_TEST_TEMPLATE'),
    temporalAddress: given('POSTHORN_TEST_TEMPORAL_ADDRESS'),
  };
}

/** A new database of its own, with the schema and nothing in it. */
export function createDatabase(): Promise<TestDatabase> {
  const { databaseUrl, template } = testServers();
  return copyDatabase(databaseUrl, template);
}

export interface TestDatabase {
  name: string;
  url: string;
  drop: () => Promise<void>;
}

/** @param server URL of a database of the same server */
export async function copyDatabase(server: string, template: string): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await administer(server, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return {
    name,
    url: url.href,
    drop: () => administer(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

async function administer(server: string, statement: string): Promise<void> {
  const client = new pg.Client(server);
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
