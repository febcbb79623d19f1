const FRAME = '{"filler":""}'.length;

/** JSON data of an event, as long as asked for. */
export const payload = (bytes: number): { filler: string } => ({
  filler: 'x'.repeat(Math.max(0, bytes - FRAME)),
});
