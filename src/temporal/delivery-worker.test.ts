import { describe, expect, it } from '@jest/globals';
import { DefaultLogger } from '@temporalio/worker';
import { noopMetricMeter } from '@temporalio/common';
import { compileWorkerOptions } from '@temporalio/worker/lib/worker-options.js';
import { NEVER_CUT_OFF } from './delivery-worker.js';

describe('the worker of deliveries', () => {
  it('cuts off no workflow of a process that was frozen: the SDK takes what it does not document', () => {
    const options = { taskQueue: 'q', ...NEVER_CUT_OFF };
    const compiled = compileWorkerOptions(options, new DefaultLogger('ERROR'), noopMetricMeter);
    expect(compiled.isolateExecutionTimeoutMs).toBe(86_400_000);
  });
});
