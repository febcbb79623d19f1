import { describe, expect, test } from '@jest/globals';
import { MAX_KEPT_BYTES, MAX_READ_BYTES, ResponseReader } from './response.js';

describe('a response that is wanted whole', () => {
  test.each([1, MAX_KEPT_BYTES, MAX_READ_BYTES, 2 * MAX_READ_BYTES])(
    'to %i bytes is so with that many, and known to be longer with one more',
    (bytes) => {
      const reader = new ResponseReader(200, {}, { bytes });
      reader.take(Buffer.alloc(bytes, 'a'));
      expect(reader.response().whole).toBe('a'.repeat(bytes));
      const wantsMore = reader.take(Buffer.from('a'));
      expect(reader.response().whole).toBeUndefined();
      expect(wantsMore).toBe(bytes < MAX_READ_BYTES - 1);
    },
  );
});
