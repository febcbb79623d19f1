import { Injectable } from '@nestjs/common';
import type pg from 'pg';
import type { Caller } from '../auth/caller.js';
import { uuidV7 } from '../common/ids.js';
import { Database } from '../database/database.js';

/**
 * Who read or changed a secret, and by which request. Written before the answer goes out, and a change in its own
 * transaction: given a client, the row is part of what that commits.
 */
@Injectable()
export class AuditService {
  constructor(private readonly database: Database) {}

  async record(
    caller: Caller,
    accountId: string,
    action: 'secret.read' | 'secret.rotate',
    resourceId: string,
    client?: pg.PoolClient,
  ): Promise<void> {
    const values = [uuidV7(Date.now()), caller.keyId, accountId, action, resourceId, caller.requestId];
    if (client) await client.query(INSERT, values);
    else await this.database.prepared('audit', INSERT, values);
  }
}

const INSERT = `INSERT INTO audit_log (id, key_id, account_id, action, resource_id, request_id)
  VALUES ($1, $2, $3, $4, $5, $6)`;
