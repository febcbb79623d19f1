/** A column whose values are encrypted by the key ring, each bound to its row. */
export interface SealedColumn {
  table: string;
  column: string;
  /** The primary key, with the type of each part. */
  key: Readonly<Record<string, 'uuid' | 'text'>>;
}

/** Every one there is: values of a column that is missing here would stay with their old key for ever. */
export const SEALED_COLUMNS = {
  signingSecret: { table: 'endpoint_secrets', column: 'sealed', key: { id: 'uuid' } },
  customHeaders: { table: 'endpoints', column: 'sealed_headers', key: { id: 'uuid' } },
  credentials: { table: 'endpoints', column: 'sealed_auth', key: { id: 'uuid' } },
  lookupCredentials: { table: 'lookups', column: 'sealed_auth', key: { name: 'text' } },
  keptAnswer: { table: 'idempotency_keys', column: 'sealed_answer', key: { owner: 'text', key: 'text' } },
} as const satisfies Record<string, SealedColumn>;

/** What a sealed value is bound to: it does not open in another row or column. */
export const sealContext = ({ table, column }: SealedColumn, ...key: string[]): string =>
  [table, column, ...key].join('/');
