import { applyDecorators, createParamDecorator, type ExecutionContext, SetMetadata } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ApiBearerAuth, ApiExtension } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import type { Caller } from './caller.js';
import type { Scope } from './scopes.js';

export const REQUIRES = 'posthorn:requires';
export const PUBLIC = 'posthorn:public';

export interface Requirement {
  scope: Scope;
  /** True where no account is named in the path: only an operator's key will do. */
  operator: boolean;
  /** True for what belongs to no account: every key with the scope may see it. */
  shared: boolean;
}

/** States what a route asks of the caller's key. A route without it, or without {@link Public}, is refused to everyone. */
export const Requires = (scope: Scope, options: { operator?: boolean; shared?: boolean } = {}) =>
  applyDecorators(
    SetMetadata(REQUIRES, {
      scope,
      operator: options.operator ?? false,
      shared: options.shared ?? false,
    } satisfies Requirement),
    ApiBearerAuth('key'),
    ApiExtension('x-scope', scope),
  );

/** Answers without a key, and takes small bodies alone: see `LargeBodies`. */
export const Public = () => applyDecorators(SetMetadata(PUBLIC, true), RouteConfig({ isPublic: true }));

declare module 'fastify' {
  interface FastifyContextConfig {
    isPublic?: boolean;
  }
  interface FastifyRequest {
    caller?: Caller;
  }
}

/** The caller, as the guard found it. */
export const CurrentCaller = createParamDecorator((_: unknown, context: ExecutionContext): Caller => {
  const { caller } = context.switchToHttp().getRequest<FastifyRequest>();
  if (!caller) throw new Error('the route has no guard');
  return caller;
});
