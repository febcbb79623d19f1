import { z } from 'zod';
import { name, pageOf, printable, time } from '../common/schemas.js';

const metadata = z
  .record(printable(40).min(1), printable(500))
  .refine((entries) => Object.keys(entries).length <= 50, 'must have at most 50 entries')
  .describe("The provider's own notes: up to 50 names with text.");
const plan = printable(64).min(1);

export const createAccountBody = z
  .strictObject({ name, plan: plan.optional(), metadata: metadata.optional() })
  .meta({ id: 'CreateAccount' });
export type CreateAccountBody = z.output<typeof createAccountBody>;

export const updateAccountBody = z
  .strictObject({ name: name.optional(), plan: plan.nullable().optional(), metadata: metadata.optional() })
  .meta({ id: 'UpdateAccount' });
export type UpdateAccountBody = z.output<typeof updateAccountBody>;

export const accountShown = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    plan: z.string().nullable(),
    metadata: z.record(z.string(), z.string()),
    createdAt: time,
    updatedAt: time,
  })
  .meta({ id: 'Account' });
export type AccountShown = z.output<typeof accountShown>;

export const accountPage = pageOf(accountShown).meta({ id: 'AccountPage' });
