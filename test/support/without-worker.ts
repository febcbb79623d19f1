import { afterAll, beforeAll } from '@jest/globals';
import { Database } from '../../src/database/database.js';
import { Loader } from '../../src/deliveries/loader.js';
import { System } from './system.js';

/** For all tests of a block: a system in which the record stays as the test has it, and what reads it for attempts. */
export function withoutWorker(): {
  readonly system: System;
  readonly database: Database;
  readonly loader: Loader;
} {
  let system: System;
  let database: Database;
  let loader: Loader;
  beforeAll(async () => {
    system = await System.start({ env: { POSTHORN_ROLES: 'api' } });
    database = new Database(system.databaseUrl, 1);
    await database.open();
    loader = new Loader(database);
  });
  afterAll(async () => {
    await database.close();
    await system.stop();
  });
  return {
    get system() {
      return system;
    },
    get database() {
      return database;
    },
    get loader() {
      return loader;
    },
  };
}
