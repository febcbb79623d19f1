import type { AccountMode } from './accounts.schema.js';
import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('accounts')
export class AccountEntity {
  @PrimaryColumn('uuid')
  id!: string;

  @Column('text')
  name!: string;

  @Column('text', { nullable: true })
  plan!: string | null;

  /** In test mode only endpoints for tests receive what is published. */
  @Column('text')
  mode!: AccountMode;

  @Column('json')
  metadata!: Record<string, string>;

  /** Who is told by e-mail what happens to the account's endpoints. */
  @Column('text', { name: 'notification_emails', array: true })
  notificationEmails!: string[];

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}
