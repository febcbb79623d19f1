import { TestWorkflowEnvironment } from '@temporalio/testing';
import { SEARCH_ATTRIBUTES } from '../../workflows/contracts.js';
import { DeliveryRunner } from './delivery-runner.js';
import { quietRuntime } from './quiet-runtime.js';

/** Temporal's number for search attributes of the kind `KEYWORD`. */
const KEYWORD = 2;

/** Temporal's time-skipping test server, on which 75 hours of backoff pass in a moment. */
export class TimeSkipping {
  private constructor(
    private readonly environment: TestWorkflowEnvironment,
    readonly runner: DeliveryRunner,
  ) {}

  static async start(maxCachedWorkflows?: number): Promise<TimeSkipping> {
    const path = process.env.POSTHORN_TEST_SERVER_PATH;
    if (path === undefined)
      throw new Error(
        'POSTHORN_TEST_SERVER_PATH is not set: the path of the time-skipping test server. `npm test` sets it.',
      );
    quietRuntime();
    const environment = await TestWorkflowEnvironment.createTimeSkipping({
      server: { executable: { type: 'existing-path', path } },
    });
    await environment.connection.operatorService.addSearchAttributes({
      namespace: 'default',
      searchAttributes: Object.fromEntries(SEARCH_ATTRIBUTES.map(({ name }) => [name, KEYWORD])),
    });
    const runner = await DeliveryRunner.start(
      {
        client: environment.client,
        connection: environment.nativeConnection,
        now: () => environment.currentTimeMs(),
      },
      maxCachedWorkflows,
    );
    return new TimeSkipping(environment, runner);
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
