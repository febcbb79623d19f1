import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The audit log becomes a chain for each account and one for the operator. The database itself appends to it, so that an
 * entry takes one statement, several processes cannot fork a chain, and what the release before this one writes is chained
 * too.
 */
export class Audit1700000000004 implements MigrationInterface {
  readonly name = 'Audit1700000000004';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE audit_log RENAME TO audit_log_chained');
    await runner.query('ALTER INDEX audit_log_pkey RENAME TO audit_log_chained_pkey');
    await runner.query(
      `CREATE TABLE audit_log (
         id uuid PRIMARY KEY,
         at timestamptz NOT NULL DEFAULT now(),
         key_id text NOT NULL,
         account_id uuid,
         action text NOT NULL,
         resource_id text NOT NULL,
         request_id text NOT NULL
       )`,
    );
    await runner.query(
      `INSERT INTO audit_log (id, at, key_id, account_id, action, resource_id, request_id)
        SELECT id, at, key_id, account_id, action, resource_id, request_id FROM audit_log_chained`,
    );
    await runner.query('DROP TABLE audit_log_chained CASCADE');
    await runner.query('DROP TABLE audit_chains');
    await runner.query('DROP FUNCTION posthorn_audit_append(), posthorn_append_only()');
    await runner.query('DROP FUNCTION posthorn_type_id(text, uuid)');
  }
}

const STATEMENTS = [
  'ALTER TABLE audit_log RENAME TO audit_log_unchained',
  'ALTER INDEX audit_log_pkey RENAME TO audit_log_unchained_pkey',

  // Where each chain ends. Its row is what writers of one chain queue for. The operator's chain has the nil UUID.
  `CREATE TABLE audit_chains (
     chain uuid PRIMARY KEY,
     sequence bigint NOT NULL,
     hash bytea
   ) WITH (fillfactor = 50)`,

  // key_id is the actor. changes is json, not jsonb: its text is what was hashed.
  `CREATE TABLE audit_log (
     id uuid PRIMARY KEY,
     account_id uuid,
     sequence bigint NOT NULL,
     at timestamptz NOT NULL,
     key_id text NOT NULL,
     address text,
     user_agent text,
     action text NOT NULL,
     resource_id text NOT NULL,
     changes json NOT NULL DEFAULT '{}',
     request_id text NOT NULL,
     previous_hash bytea,
     hash bytea NOT NULL,
     CONSTRAINT audit_log_by_chain UNIQUE NULLS NOT DISTINCT (account_id, sequence)
   )`,
  'CREATE INDEX audit_log_by_account ON audit_log (account_id, id)',
  'CREATE INDEX audit_log_by_resource ON audit_log (resource_id, id)',
  'CREATE INDEX audit_log_by_actor ON audit_log (key_id, id)',

  // The id as the API shows it: TypeID 0.3.
  `CREATE FUNCTION posthorn_type_id(prefix text, id uuid) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $fn$
     SELECT prefix || '_' || string_agg(
       substr('0123456789abcdefghjkmnpqrstvwxyz', substring(bits FROM place * 5 + 1 FOR 5)::bit(5)::int + 1, 1),
       '' ORDER BY place)
     FROM (SELECT B'00' || ('x' || replace(id::text, '-', ''))::bit(128) AS bits) whole, generate_series(0, 25) place
   $fn$`,

  // What is hashed (docs/reference/audit-log.md): RFC 8785 of the entry as the API shows it, without its hash. to_json
  // escapes text exactly as RFC 8785 §3.2.2.2 wants it.
  `CREATE FUNCTION posthorn_audit_text(entry audit_log) RETURNS text LANGUAGE sql STABLE AS $fn$
     SELECT '{"accountId":' || coalesce(to_json(posthorn_type_id('acc', entry.account_id))::text, 'null')
       || ',"action":' || to_json(entry.action)::text
       || ',"actor":' || to_json(entry.key_id)::text
       || ',"address":' || coalesce(to_json(entry.address)::text, 'null')
       || ',"changes":' || entry.changes::text
       || ',"createdAt":"' || to_char(entry.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '"'
       || ',"id":"' || posthorn_type_id('aud', entry.id) || '"'
       || ',"previousHash":' || coalesce('"' || encode(entry.previous_hash, 'hex') || '"', 'null')
       || ',"requestId":' || to_json(entry.request_id)::text
       || ',"resourceId":' || to_json(entry.resource_id)::text
       || ',"sequence":' || entry.sequence::text
       || ',"userAgent":' || coalesce(to_json(entry.user_agent)::text, 'null') || '}'
   $fn$`,

  // Id, time and place in the chain are given under the chain's lock, so that all three have the same order.
  `CREATE FUNCTION posthorn_audit_append() RETURNS trigger LANGUAGE plpgsql AS $fn$
   DECLARE
     chain_id uuid := coalesce(NEW.account_id, '00000000-0000-0000-0000-000000000000');
     head audit_chains;
   BEGIN
     INSERT INTO audit_chains (chain, sequence) VALUES (chain_id, 0) ON CONFLICT DO NOTHING;
     SELECT * INTO head FROM audit_chains WHERE chain = chain_id FOR UPDATE;
     NEW.id := coalesce(NEW.id, posthorn_uuid_v7());
     NEW.at := coalesce(date_trunc('milliseconds', NEW.at),
       to_timestamp(('x' || substr(replace(NEW.id::text, '-', ''), 1, 12))::bit(48)::bigint / 1000.0));
     NEW.sequence := head.sequence + 1;
     NEW.previous_hash := head.hash;
     NEW.hash := sha256(convert_to(posthorn_audit_text(NEW), 'UTF8'));
     UPDATE audit_chains SET sequence = NEW.sequence, hash = NEW.hash WHERE chain = chain_id;
     RETURN NEW;
   END $fn$`,
  `CREATE TRIGGER audit_log_append BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION posthorn_audit_append()`,

  `CREATE FUNCTION posthorn_append_only() RETURNS trigger LANGUAGE plpgsql AS $fn$
   BEGIN
     RAISE EXCEPTION '% on % is refused: the audit log is only ever added to', TG_OP, TG_TABLE_NAME
       USING ERRCODE = 'restrict_violation';
   END $fn$`,
  `CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
     FOR EACH STATEMENT EXECUTE FUNCTION posthorn_append_only()`,
  `CREATE TRIGGER audit_chains_append_only BEFORE DELETE OR TRUNCATE ON audit_chains
     FOR EACH STATEMENT EXECUTE FUNCTION posthorn_append_only()`,

  `INSERT INTO audit_log (id, at, key_id, account_id, action, resource_id, request_id)
     SELECT id, at, key_id, account_id, action, resource_id, request_id FROM audit_log_unchained ORDER BY id`,
  'DROP TABLE audit_log_unchained',
];
