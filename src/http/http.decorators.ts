import { applyDecorators, createParamDecorator, type ExecutionContext, HttpCode } from '@nestjs/common';
import { ApiHeader, ApiParam, ApiResponse } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { fromId, type Kind, PREFIXES } from '../common/ids.js';
import { notFound } from '../common/problems.js';
import type { Once } from './idempotency.interceptor.js';
import { problemSchema } from './problem.schema.js';

const readId = createParamDecorator((kind: Kind, context: ExecutionContext): string => {
  const { params } = context.switchToHttp().getRequest<FastifyRequest<{ Params: Record<string, string> }>>();
  const uuid = fromId(kind, params[kind] ?? '');
  if (uuid === null) throw notFound(kind);
  return uuid;
});

/** The path's id of this kind, as a UUID. An id of another kind is not found, like one that never was. */
export const Id = (kind: Kind): ParameterDecorator => {
  const read = readId(kind);
  return (target, key, index) => {
    read(target, key, index);
    const descriptor = key === undefined ? undefined : Object.getOwnPropertyDescriptor(target, key);
    if (key !== undefined && descriptor) {
      ApiParam({ name: kind, schema: { type: 'string', pattern: `^${PREFIXES[kind]}_[0-9a-z]{26}$` } })(
        target,
        key,
        descriptor,
      );
    }
  };
};

/** The text of the JSON body as it came, for what must be kept byte for byte. */
export const BodyText = createParamDecorator((_: unknown, context: ExecutionContext): string => {
  const { bodyText } = context.switchToHttp().getRequest<FastifyRequest>();
  return bodyText ?? '';
});

/** Adds fields to the answer. */
export type TellFields = (fields: Readonly<Record<string, string>>) => void;

/** For what only the service knows about an answer that is not its body. */
export const AnswerFields = createParamDecorator((_: unknown, context: ExecutionContext): TellFields => {
  const reply = context.switchToHttp().getResponse<FastifyReply>();
  return (fields) => void reply.headers(fields);
});

/** What makes this request the same when it is sent again; null where it has no `Idempotency-Key`. */
export const SentOnce = createParamDecorator((_: unknown, context: ExecutionContext): Once | null => {
  return context.switchToHttp().getRequest<FastifyRequest>().once ?? null;
});

declare module 'fastify' {
  interface FastifyRequest {
    bodyText?: string;
  }
}

/** States a route's status and the shape of its answer; every route may answer a problem instead. */
export const Answers = (status: 200 | 201 | 202 | 204, schema?: z.ZodType) =>
  applyDecorators(
    HttpCode(status),
    ApiResponse({ status, description: 'Done', ...(schema ? { standardSchema: schema } : {}) }),
    ApiResponse({ status: 'default', description: 'A problem (RFC 9457)', standardSchema: problemSchema }),
  );

/** Documents the `Idempotency-Key` header, which every write takes. */
export const IdempotencyKey = () =>
  ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description:
      'Up to 255 printable ASCII characters. The same key and request get the first answer again for 24 hours.',
    schema: { type: 'string', maxLength: 255 },
  });
