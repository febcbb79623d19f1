import type { HeldReason } from '../deliveries/loader.js';
import type { Verification } from '../verification/judge.js';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { BatchLimits } from '../batches/batches.schema.js';
import type { PriorityLevel } from '../common/priority.js';
import type { FormatName, Payload } from '../messages/message.js';
import type { LaneName } from '../common/lane.js';
import type { Pins } from '../event-types/endpoint-pins.js';
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

  /** The version of each event type that it wants; null where it wants all as they are published. */
  @Column('jsonb', { name: 'event_versions', nullable: true })
  eventVersions!: Pins;

  /** Events that it takes of these types, as it was given; null means every one. */
  @Column('json', { nullable: true })
  filter!: unknown;

  /** Lookups that its events are enriched by; null for none. */
  @Column('text', { array: true, nullable: true })
  lookups!: string[] | null;

  /** Custom headers as encrypted JSON, since they often carry credentials; null when there are none. */
  @Column('bytea', { name: 'sealed_headers', nullable: true })
  sealedHeaders!: Buffer | null;

  /** What the receiver knows us by, and whom it is trusted by, as encrypted JSON; null when there is neither. */
  @Column('bytea', { name: 'sealed_auth', nullable: true })
  sealedAuth!: Buffer | null;

  /** When its certificates end; null where it has none. */
  @Column('timestamptz', { name: 'certificate_expires_at', nullable: true })
  certificateExpiresAt!: Date | null;

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

  @Column('text')
  payload!: Payload;

  @Column('text')
  format!: FormatName;

  /** How its events are collected; null: each is sent by itself. */
  @Column('json', { nullable: true })
  batch!: BatchLimits | null;

  /** Whether it receives what is published as a test, and nothing else. */
  @Column('boolean')
  test!: boolean;

  @Column('boolean')
  paused!: boolean;

  /** How its receiver shows that it wants deliveries. */
  @Column('text')
  verification!: Verification;

  /** Whether it has still to show that. */
  @Column('boolean')
  unverified!: boolean;

  /** Why the latest try failed. */
  @Column('text', { name: 'verification_error', nullable: true })
  verificationError!: string | null;

  /** Why deliveries to it wait; made of the columns that say so. */
  @Column({ type: 'text', name: 'held_reason', nullable: true, insert: false, update: false })
  heldReason!: HeldReason | null;

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
