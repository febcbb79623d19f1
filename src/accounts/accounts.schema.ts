import { z } from 'zod';
import { name, pageOf, printable, time } from '../common/schemas.js';

const metadata = z
  .record(printable(40).min(1), printable(500))
  .refine((entries) => Object.keys(entries).length <= 50, 'must have at most 50 entries')
  .describe("The provider's own notes: up to 50 names with text.");
const plan = printable(64).min(1);
const notificationEmails = z
  .array(z.email().max(254))
  .max(10)
  .describe("Who is told by e-mail what happens to the account's endpoints.");

const MODES = ['live', 'test'] as const;
export type AccountMode = (typeof MODES)[number];
const mode = z
  .enum(MODES)
  .describe(
    '`test`: what is published is marked as a test, and delivered to endpoints with `test: true` alone.',
  );

export const createAccountBody = z
  .strictObject({
    name,
    plan: plan.optional(),
    mode: mode.optional(),
    metadata: metadata.optional(),
    notificationEmails: notificationEmails.optional(),
  })
  .meta({ id: 'CreateAccount' });
export type CreateAccountBody = z.output<typeof createAccountBody>;

export const updateAccountBody = z
  .strictObject({
    name: name.optional(),
    plan: plan.nullable().optional(),
    mode: mode.optional(),
    metadata: metadata.optional(),
    notificationEmails: notificationEmails.optional(),
  })
  .meta({ id: 'UpdateAccount' });
export type UpdateAccountBody = z.output<typeof updateAccountBody>;

export const accountShown = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    plan: z.string().nullable(),
    mode: z.enum(MODES),
    metadata: z.record(z.string(), z.string()),
    notificationEmails: z.array(z.string()),
    createdAt: time,
    updatedAt: time,
  })
  .meta({ id: 'Account' });
export type AccountShown = z.output<typeof accountShown>;

export const accountPage = pageOf(accountShown).meta({ id: 'AccountPage' });
