import type { UrlTemplate } from './url-template.js';

export const LOOKUP_NAME = /^[a-z][a-z0-9_]{0,39}$/;

/** How many lookups an endpoint may have. */
export const MAX_LOOKUPS = 5;

/** A lookup as attempts use it. */
export interface Lookup {
  name: string;
  /** Another one with each change of what is asked and how. UUID */
  version: string;
  url: UrlTemplate;
  sealedAuth: Buffer | null;
  timeoutMs: number;
  cacheTtlMs: number;
  required: boolean;
}
