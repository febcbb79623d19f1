import { parseArgs } from 'node:util';
import { VERSION } from '../common/version.js';

export const USAGE = `posthorn ${VERSION}

  posthorn serve                      start the API and the worker (what \`npm start\` does)
  posthorn config                     every setting with its value, default and meaning
  posthorn migrate                    bring the database schema up to date
  posthorn keys create --name NAME [--account acc_…] [--scopes a,b] [--expires-at TIME]
                                      make an operator key, or one bound to an account
  posthorn keys reencrypt             bring all that is encrypted to the newest key of the ring, and say what
                                      each key still holds
  posthorn audit verify [--account acc_…] [--json] [--expect FILE]
                                      check that nothing in the audit log was changed, removed or put in; \`--json\` prints
                                      where each chain ends, which \`--expect\` compares later
  posthorn openapi [--write FILE | --check FILE]
                                      print, write or compare the OpenAPI document
  posthorn errors [--write FILE | --check FILE]
                                      the same for the page of error codes
`;

/** The command line is wrong; the message says how. */
export class UsageError extends Error {}

/** @throws UsageError */
export function parse<const Options extends Record<string, { type: 'string' | 'boolean' }>>(
  args: string[],
  options: Options,
) {
  try {
    return parseArgs({ args, options, strict: true, allowPositionals: false });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
