import { Controller, Get, Inject, Res } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Public } from '../auth/auth.decorators.js';
import { Answers } from '../http/http.decorators.js';
import { Health } from './health.js';

const alive = z.strictObject({ status: z.literal('ok') }).meta({ id: 'Alive' });
const readiness = z
  .strictObject({
    status: z.enum(['ok', 'unavailable']),
    checks: z.record(z.string(), z.enum(['ok', 'unavailable'])).describe('Each dependency by name.'),
  })
  .meta({ id: 'Readiness' });

@ApiTags('Operations')
@Controller()
export class HealthController {
  constructor(@Inject(Health) private readonly health: Health) {}

  @Get('healthz')
  @Public()
  @ApiOperation({ summary: 'The process is alive' })
  @Answers(200, alive)
  healthz() {
    return { status: 'ok' };
  }

  @Get('readyz')
  @Public()
  @ApiOperation({ summary: 'The process can do its work: 200, or 503 with the dependency that is missing' })
  @Answers(200, readiness)
  @ApiResponse({ status: 503, description: 'Something is missing', standardSchema: readiness })
  async readyz(@Res({ passthrough: true }) reply: FastifyReply) {
    const checks = await this.health.check();
    const ready = Object.values(checks).every((check) => check === 'ok');
    void reply.status(ready ? 200 : 503);
    return { status: ready ? 'ok' : 'unavailable', checks };
  }
}
