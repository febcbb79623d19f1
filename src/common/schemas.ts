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
const FIRST_MOMENT = Date.parse('0001-01-01T00:00:00Z');
const LAST_MOMENT = Date.parse('9999-12-31T23:59:59.999Z');

/** An RFC 3339 time with any offset, of a year that still has four digits in UTC, and that PostgreSQL knows: it has no year 0. */
export const moment = z.iso
  .datetime({ offset: true })
  .refine(
    (text) => !(Date.parse(text) < FIRST_MOMENT || Date.parse(text) > LAST_MOMENT),
    'must lie in the years 0001 to 9999 of UTC',
  );

export const time = z.iso.datetime().describe('RFC 3339, UTC, milliseconds');

/** Letters, digits, `_`, `-`, in parts separated by dots. */
export const EVENT_TYPE = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;
export const MAX_EVENT_TYPE = 128;

/** Event types of our own begin so; nobody else publishes them, and only endpoints that name them get them. */
export const OPERATIONAL_PREFIX = 'posthorn.';

export const eventType = z
  .string()
  .max(MAX_EVENT_TYPE)
  .regex(EVENT_TYPE, 'must be letters, digits, `_` and `-`, in parts separated by dots');

export const pageQuery = {
  limit: z.coerce
    .number('must be a whole number')
    .int()
    .min(1, 'must be from 1 to 250')
    .max(250, 'must be from 1 to 250')
    .default(50),
  cursor: z.string().max(200).optional().describe('`nextCursor` of the page before'),
};

export const listQuery = z.strictObject(pageQuery);
export type ListQuery = z.output<typeof listQuery>;

export const pageOf = <Row extends z.ZodType>(row: Row) =>
  z.strictObject({ data: z.array(row), nextCursor: z.string().nullable() });
