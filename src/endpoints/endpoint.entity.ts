import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { PriorityLevel } from '../common/priority.js';
import type { LaneName } from '../common/lane.js';
import type { Signing } from '../signing/schemes.js';
import type { RetrySchedule } from './retry-schedule.js';

@Entity('endpoints')
export class EndpointEntity {
  @PrimaryColumn('uuid')
  id!: string;

  @Column('uuid', { name: 'account_id' })
  accountId!: string;

  @Column('text')
  url!: string;

  @Column('text', { nullable: true })
  description!: string | null;

  /** Exact names, or prefixes ending in `.*`; null means every type. */
  @Column('text', { name: 'event_types', array: true, nullable: true })
  eventTypes!: string[] | null;

  /** Custom headers as encrypted JSON, since they often carry credentials; null when there are none. */
  @Column('bytea', { name: 'sealed_headers', nullable: true })
  sealedHeaders!: Buffer | null;

  /** Null: Standard Webhooks. */
  @Column('json', { nullable: true })
  signing!: Signing | null;

  @Column('integer', { name: 'timeout_ms' })
  timeoutMs!: number;

  @Column('json', { name: 'retry_schedule' })
  retrySchedule!: RetrySchedule;

  /** Null: the deployment's. */
  @Column('text', { nullable: true })
  lane!: LaneName | null;

  /** 1 is the most urgent; null: the event type's. */
  @Column('smallint', { nullable: true })
  priority!: PriorityLevel | null;

  /** Null: unlimited, and then there is no burst either. */
  @Column('double precision', { name: 'rate_per_second', nullable: true })
  ratePerSecond!: number | null;

  @Column('integer', { name: 'rate_burst', nullable: true })
  rateBurst!: number | null;

  /** Attempts under way at once; null: the default of each worker. */
  @Column('integer', { name: 'max_in_flight', nullable: true })
  maxInFlight!: number | null;

  @Column('boolean')
  paused!: boolean;

  /** Why it is disabled; null while it is not. */
  @Column('text', { name: 'disabled_reason', nullable: true })
  disabledReason!: string | null;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;

  /** A deleted endpoint's row stays for the delivery log, without its secrets and headers. */
  @Column('timestamptz', { name: 'deleted_at', nullable: true })
  deletedAt!: Date | null;
}
