/** One event in JSON (CloudEvents JSON format 1.0.2 §3). */
export const STRUCTURED_TYPE = 'application/cloudevents+json';
/** A JSON array of them (§4). */
export const BATCH_TYPE = 'application/cloudevents-batch+json';

/** In which mode a request brings CloudEvents (HTTP binding 1.0.2 §3); null: it brings none. */
export type ContentMode = 'structured' | 'batch' | 'binary' | null;

/** @param headers names in lower case */
export function contentModeOf(headers: {
  readonly 'content-type'?: string | undefined;
  readonly [name: string]: unknown;
}): ContentMode {
  switch (mediaTypeOf(headers['content-type'])) {
    case STRUCTURED_TYPE:
      return 'structured';
    case BATCH_TYPE:
      return 'batch';
    default:
      return headers['ce-specversion'] === undefined ? null : 'binary';
  }
}

/** Without parameters, in lower case; empty where there is none. */
export const mediaTypeOf = (contentType: string | undefined): string =>
  (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';

/** Whether values of a type are JSON (RFC 6839 §3.1). */
export const isJson = (contentType: string): boolean =>
  /^[\w.!#$&^-]+\/([\w.!#$&^-]+\+)?json$/.test(mediaTypeOf(contentType));
