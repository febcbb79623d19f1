/** What a delivery says of its event beside the data, in this order. */
export interface Envelope {
  /** `evt_…` */
  id: string;
  type: string;
  /** RFC 3339 */
  timestamp: string;
  version: string;
}

/** What an event is sent as. @param data JSON text, taken over byte for byte, as is the context; null for no context */
export const envelopeOf = (envelope: Envelope, data: string, context: string | null = null): string =>
  withLast(envelope, 'data', context === null ? data : `${data},"context":${context}`);

/** @param value JSON text */
export function withLast(
  { id, type, timestamp, version }: Envelope,
  name: 'data' | 'url',
  value: string,
): string {
  return `${JSON.stringify({ id, type, timestamp, version }).slice(0, -1)},"${name}":${value}}`;
}
