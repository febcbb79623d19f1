import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Connection } from '@temporalio/client';
import { native } from '@temporalio/core-bridge';
import { temporal as protocol } from '@temporalio/proto';
import { pino } from 'pino';
import { installTemporalRuntime } from '../../src/posthorn.js';
import { readSettings } from '../../src/config/settings.js';
import { type Activities, DeliveryWorker } from '../../src/temporal/delivery-worker.js';
import { Temporal } from '../../src/temporal/temporal.js';
import { loadWorkflowBundle } from '../../src/temporal/workflow-bundle.js';
import { testServers } from '../support/servers.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';

describe('the worker of deliveries', () => {
  const cleanup: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    jest.restoreAllMocks();
    for (const clean of cleanup.splice(0).reverse()) await clean();
  });

  it('comes once Temporal is back where that went just as it was being made', async () => {
    const { temporalAddress } = testServers();
    const [host = '', port = ''] = temporalAddress.split(':');
    const line = await TcpProxy.start(host, Number(port));
    cleanup.push(() => line.stop());
    const taskQueue = `test-${randomUUID()}`;
    const settings = readSettings({ POSTHORN_TEMPORAL_TASK_QUEUE: taskQueue });
    const said: string[] = [];
    const logger = pino({ level: 'error' }, { write: (text) => said.push(text) });
    installTemporalRuntime(pino({ level: 'silent' }));
    const temporal = new Temporal(settings, line.address, logger);
    cleanup.push(() => temporal.close());
    temporal.open();
    await temporal.ready();
    // What a process that has memory to spare does not collect for long, a small one as here may collect at once.
    jest.spyOn(native, 'newWorker');
    line.cut();
    // No workflow runs, so none is called.
    const worker = new DeliveryWorker(
      temporal,
      {} as Activities,
      await loadWorkflowBundle(),
      settings,
      logger,
    );
    cleanup.push(() => worker.close());
    worker.open();
    await until(() => said.some((text) => text.includes('the delivery worker failed')), Boolean);
    line.mend();
    const connection = await Connection.connect({ address: temporalAddress });
    cleanup.push(() => connection.close());
    await until(
      () =>
        connection.workflowService.describeTaskQueue({
          namespace: settings.TEMPORAL_NAMESPACE,
          taskQueue: { name: taskQueue },
          taskQueueType: protocol.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        }),
      ({ pollers }) => pollers.length > 0,
    );
    expect(said.join('')).not.toContain('multiple workers');
  });
});
