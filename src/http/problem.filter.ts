import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Inject } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { Problem } from '../common/problems.js';
import { TransportFault } from '../transport/failures.js';
import { isUnavailable } from '../database/database.js';
import { LOGGER } from '../logging/logger.js';

/** Turns whatever was thrown into one problem+json answer. What we did not foresee is logged and tells the caller nothing. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(@Inject(LOGGER) private readonly logger: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    sendProblem(error, http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>(), this.logger);
  }
}

export function sendProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  logger: Logger,
): void {
  const problem = toProblem(error, request.bodyLimitBytes ?? request.routeOptions.bodyLimit);
  if (problem.status >= 500) {
    logger[problem.status === 503 ? 'warn' : 'error'](
      { err: error, requestId: request.id, method: request.method, route: request.routeOptions.url },
      problem.code,
    );
  }
  if (problem.retryAfterSeconds !== undefined) void reply.header('retry-after', problem.retryAfterSeconds);
  void reply.headers(problem.headers);
  if (problem.challenge !== undefined) void reply.header('www-authenticate', problem.challenge);
  void reply
    .status(problem.status)
    .header('content-type', 'application/problem+json')
    .send(JSON.stringify(problem.toBody(request.id)));
}

function toProblem(error: unknown, bodyLimit: number): Problem {
  if (error instanceof Problem) return error;
  if (isUnavailable(error)) {
    return new Problem('unavailable', 'The database cannot be reached at the moment.', {
      retryAfterSeconds: 2,
    });
  }
  if (error instanceof TransportFault) {
    return new Problem('unavailable', 'No request can be sent from here at the moment.', {
      retryAfterSeconds: 5,
    });
  }
  const { code } = error as { code?: unknown };
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return bodyTooLarge(bodyLimit);
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new Problem('unsupported_media_type', 'Send the body as `Content-Type: application/json`.');
  }
  const status =
    error instanceof HttpException ? error.getStatus() : (error as { statusCode?: unknown }).statusCode;
  switch (status) {
    case 404:
      return new Problem('not_found', 'There is no such path.');
    case 413:
      return bodyTooLarge(bodyLimit);
    case 415:
      return new Problem('unsupported_media_type', 'Send the body as `Content-Type: application/json`.');
    case 400:
      return new Problem('bad_request', 'The request could not be read.');
    default:
      return new Problem('internal_error', 'Something went wrong on our side.', { cause: error });
  }
}

const bodyTooLarge = (limit: number): Problem =>
  new Problem('payload_too_large', `The body may have ${limit} bytes at most.`);
