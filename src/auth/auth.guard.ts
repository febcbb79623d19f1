import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { accountExists } from '../accounts/account-exists.js';
import { fromId } from '../common/ids.js';
import { notFound, Problem } from '../common/problems.js';
import { Database } from '../database/database.js';
import { PUBLIC, type Requirement, REQUIRES } from './auth.decorators.js';
import { Authenticator } from './authenticator.js';
import type { Caller } from './caller.js';
import { insufficient } from './challenge.js';

/**
 * Lets a request through when its key is valid, has the route's scope, and may see the account in the path. Another
 * account answers 404, the same as one that does not exist, so that ids cannot be probed.
 */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly authenticator: Authenticator,
    private readonly database: Database,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const handler = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride<boolean | undefined>(PUBLIC, handler) === true) return true;
    const request = context.switchToHttp().getRequest<FastifyRequest<{ Params: Record<string, string> }>>();
    const caller = await this.authenticator.identify(request);
    const requirement = this.reflector.getAllAndOverride<Requirement | undefined>(REQUIRES, handler);
    if (!requirement) throw new Problem('forbidden', 'No key may call this route.');
    if (caller.accountId !== null && !requirement.shared) {
      if (requirement.operator) throw insufficient('This needs an operator key.');
      const named = request.params.account;
      if (named === undefined || fromId('account', named) !== caller.accountId) throw notFound('account');
    }
    if (!caller.scopes.has(requirement.scope)) {
      throw insufficient(`This needs a key with the scope ${requirement.scope}.`, requirement.scope);
    }
    await this.refuseUnknownAccount(request, caller);
    request.caller = caller;
    return true;
  }

  /** Without this, an operator's lists of an account that does not exist would be empty. Writes find out by themselves. */
  private async refuseUnknownAccount(
    request: FastifyRequest<{ Params: Record<string, string> }>,
    caller: Caller,
  ): Promise<void> {
    const { account } = request.params;
    if (caller.accountId !== null || account === undefined) return;
    if (request.method !== 'GET' && request.method !== 'HEAD') return;
    const id = fromId('account', account);
    if (id === null || !(await accountExists(this.database, id))) throw notFound('account');
  }
}
