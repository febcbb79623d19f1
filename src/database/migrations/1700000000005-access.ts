import type { MigrationInterface, QueryRunner } from 'typeorm';

/** A scope each for retrying and for cancelling deliveries; portal tokens. */
export class Access1700000000005 implements MigrationInterface {
  readonly name = 'Access1700000000005';

  async up(runner: QueryRunner): Promise<void> {
    // The old name stays beside the new ones: processes of the version before ask for it while a deployment lasts.
    await runner.query(
      `UPDATE api_keys SET scopes = scopes || ARRAY['deliveries:retry', 'deliveries:cancel']
        WHERE 'deliveries:write' = ANY(scopes)`,
    );
    await runner.query(
      `CREATE TABLE portal_tokens (
         id uuid PRIMARY KEY,
         account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
         key_id uuid REFERENCES api_keys ON DELETE CASCADE,
         scopes text[] NOT NULL,
         code_hash bytea NOT NULL UNIQUE,
         code_expires_at timestamptz NOT NULL,
         created_at timestamptz NOT NULL,
         expires_at timestamptz NOT NULL,
         exchanged_at timestamptz,
         revoked_at timestamptz
       )`,
    );
    await runner.query('CREATE INDEX portal_tokens_by_expiry ON portal_tokens (expires_at)');
    await runner.query('CREATE INDEX portal_tokens_by_account ON portal_tokens (account_id)');
    await runner.query('CREATE INDEX portal_tokens_by_key ON portal_tokens (key_id)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE portal_tokens');
    await runner.query(
      `UPDATE api_keys SET scopes = array_remove(array_remove(scopes, 'deliveries:retry'), 'deliveries:cancel')`,
    );
  }
}
