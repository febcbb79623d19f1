import { TestWorkflowEnvironment } from '@temporalio/testing';
import { SEARCH_ATTRIBUTES } from '../../workflows/contracts.js';
import { DeliveryRunner, type Engine } from './delivery-runner.js';
import { quietRuntime } from './quiet-runtime.js';

/** Temporal's number for search attributes of the kind `KEYWORD`. */
const KEYWORD = 2;

/** It is given 5 seconds to start, which a busy machine may not have for it at once. */
const MAX_STARTS = 4;

async function startServer(path: string): Promise<TestWorkflowEnvironment> {
  for (let starts = 1; ; starts += 1) {
    try {
      return await TestWorkflowEnvironment.createTimeSkipping({
        server: { executable: { type: 'existing-path', path } },
      });
    } catch (error) {
      if (starts === MAX_STARTS || !String(error).includes('did not start within')) throw error;
    }
  }
}

/** Temporal's time-skipping test server, on which 75 hours of backoff pass in a moment. */
export class TimeSkipping {
  private constructor(
    private readonly environment: TestWorkflowEnvironment,
    readonly runner: DeliveryRunner,
    readonly engine: Engine,
  ) {}

  static async start(maxCachedWorkflows?: number): Promise<TimeSkipping> {
    const path = process.env.POSTHORN_TEST_SERVER_PATH;
    if (path === undefined)
      throw new Error(
        'POSTHORN_TEST_SERVER_PATH is not set: the path of the time-skipping test server. `npm test` sets it.',
      );
    quietRuntime();
    const environment = await startServer(path);
    await environment.connection.operatorService.addSearchAttributes({
      namespace: 'default',
      searchAttributes: Object.fromEntries(SEARCH_ATTRIBUTES.map(({ name }) => [name, KEYWORD])),
    });
    const engine = {
      client: environment.client,
      connection: environment.nativeConnection,
      now: () => environment.currentTimeMs(),
    };
    return new TimeSkipping(environment, await DeliveryRunner.start(engine, maxCachedWorkflows), engine);
  }

  /** Lets this much time pass, with every timer that fires in it. */
  pass(ms: number): Promise<void> {
    return this.environment.sleep(ms);
  }

  now(): Promise<number> {
    return this.environment.currentTimeMs();
  }

  async close(): Promise<void> {
    await this.runner.close();
    await this.environment.teardown();
  }
}
