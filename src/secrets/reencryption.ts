import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import { KeyRing, SealBrokenError } from './key-ring.js';
import { SEALED_COLUMNS, sealContext, type SealedColumn } from './sealed-columns.js';

const PAGE = 200;

export interface ReencryptionReport {
  /** Values that had another key and now have the newest. */
  reencrypted: number;
  /** Values that no key of the ring opens: why, and how many there are of each. */
  unreadable: Map<string, number>;
}

interface SealedRow {
  key: string[];
  sealed: Buffer;
}

/**
 * Brings all that is encrypted at rest to the newest key of the ring. Any process may, at any time: a page is one
 * transaction, and a row that somebody else has in hand is theirs to write.
 */
@Injectable()
export class Reencryption {
  constructor(
    private readonly database: Database,
    private readonly keyRing: KeyRing,
  ) {}

  async run(): Promise<ReencryptionReport> {
    const report: ReencryptionReport = { reencrypted: 0, unreadable: new Map() };
    for (const column of Object.values(SEALED_COLUMNS)) {
      let after: string[] | null = null;
      do after = await this.page(column, after, report);
      while (after);
    }
    return report;
  }

  /** How many values each key has encrypted, by its name. */
  async valuesByKey(): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    for (const { table, column } of Object.values(SEALED_COLUMNS)) {
      const rows = await this.database.query<{ name: string; count: string }>(
        `SELECT convert_from(substring(${column} FROM 3 FOR get_byte(${column}, 1)), 'UTF8') AS name, count(*) AS count
           FROM ${table} WHERE ${column} IS NOT NULL GROUP BY name`,
        [],
      );
      for (const { name, count } of rows) counts.set(name, (counts.get(name) ?? 0) + Number(count));
    }
    return counts;
  }

  /** @returns the key of its last row, null when nothing comes after it */
  private page(
    column: SealedColumn,
    after: string[] | null,
    report: ReencryptionReport,
  ): Promise<string[] | null> {
    const { table, column: value } = column;
    const columns = Object.keys(column.key);
    const given = Object.values(column.key).map((type, index) => `($1::text[])[${index + 1}]::${type}`);
    const mark = this.keyRing.newestMark;
    return this.database.transaction(async (client) => {
      const { rows } = await client.query<SealedRow>(
        `SELECT ARRAY[${columns.map((name) => `${name}::text`).join(', ')}] AS key, ${value} AS sealed FROM ${table}
          WHERE ($1::text[] IS NULL OR (${columns.join(', ')}) > (${given.join(', ')}))
            AND substring(${value} FROM 1 FOR ${mark.length}) <> $2
          ORDER BY ${columns.join(', ')} LIMIT ${PAGE} FOR UPDATE SKIP LOCKED`,
        [after, mark],
      );
      for (const { key, sealed } of rows) {
        const renewed = this.renew(sealed, sealContext(column, ...key), report);
        if (!renewed) continue;
        await client.query(
          `UPDATE ${table} SET ${value} = $2 WHERE (${columns.join(', ')}) = (${given.join(', ')})`,
          [key, renewed],
        );
        report.reencrypted += 1;
      }
      return rows.length < PAGE ? null : (rows.at(-1)?.key ?? null);
    });
  }

  private renew(sealed: Buffer, context: string, { unreadable }: ReencryptionReport): Buffer | null {
    try {
      return this.keyRing.seal(this.keyRing.open(sealed, context), context);
    } catch (error) {
      if (!(error instanceof SealBrokenError)) throw error;
      unreadable.set(error.message, (unreadable.get(error.message) ?? 0) + 1);
      return null;
    }
  }
}
