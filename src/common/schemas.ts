import { z } from 'zod';

/** PostgreSQL's text holds no NUL, and control characters in names only serve to mislead a reader of logs. */
const CONTROL = /[\u0000-\u001f\u007f]/;
export const printable = (max: number) =>
  z
    .string()
    .max(max)
    .refine((text) => !CONTROL.test(text), 'must not contain control characters')
    .refine((text) => text.isWellFormed(), 'must be well-formed Unicode');

export const name = printable(200).min(1);
export const time = z.iso.datetime().describe('RFC 3339, UTC, milliseconds');

/** Names of events: letters, digits, `_`, `-`, in parts separated by dots. */
export const eventType = z
  .string()
  .max(128)
  .regex(
    /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/,
    'must be letters, digits, `_` and `-`, in parts separated by dots',
  );

export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(250).default(50),
  cursor: z.string().max(200).optional().describe('`nextCursor` of the page before'),
};

export const listQuery = z.strictObject(pageQuery);
export type ListQuery = z.output<typeof listQuery>;

export const pageOf = <Row extends z.ZodType>(row: Row) =>
  z.strictObject({ data: z.array(row), nextCursor: z.string().nullable() });
