import { Injectable } from '@nestjs/common';
import type { Caller } from '../auth/caller.js';
import { uuidV7 } from '../common/ids.js';
import { Database } from '../database/database.js';

/** Who read or changed a secret, and by which request. Written before the answer goes out. */
@Injectable()
export class AuditService {
  constructor(private readonly database: Database) {}

  async record(
    caller: Caller,
    accountId: string,
    action: 'secret.read' | 'secret.rotate',
    resourceId: string,
  ): Promise<void> {
    await this.database.prepared(
      'audit',
      `INSERT INTO audit_log (id, key_id, account_id, action, resource_id, request_id) VALUES ($1, $2, $3, $4, $5, $6)`,
      [uuidV7(Date.now()), caller.keyId, accountId, action, resourceId, caller.requestId],
    );
  }
}
