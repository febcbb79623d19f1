import { z } from 'zod';
import { time } from '../common/schemas.js';
import { headerName, headerValue } from '../endpoints/custom-headers.js';

/** PEM of a client certificate with its chain, or of its key, in characters. */
const MAX_PEM = 16 * 1024;
const MAX_AUTHORITIES_PEM = 32 * 1024;

const AUTH_TYPES = ['none', 'basic', 'bearer', 'header', 'oauth2', 'mtls'] as const;

// RFC 7617 §2: no control characters, and the first colon ends the user name.
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;
const basicText = (max: number) =>
  z
    .string()
    .max(max)
    .refine((text) => !CONTROL.test(text) && text.isWellFormed(), 'must not contain control characters');

// RFC 6749 appendix A: VSCHAR.
const vschar = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^[\x20-\x7e]+$/, 'must be printable ASCII');

const none = z.strictObject({ type: z.literal('none') });
const basic = z.strictObject({
  type: z.literal('basic'),
  username: basicText(255).refine((text) => !text.includes(':'), 'must not contain a colon'),
  password: basicText(1024),
});
const bearer = z.strictObject({
  type: z.literal('bearer'),
  token: z
    .string()
    .max(4096)
    .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces; `Bearer` is put before it'),
});
const header = z.strictObject({
  type: z.literal('header'),
  name: headerName,
  value: headerValue.min(1),
});
const oauth2 = z.strictObject({
  type: z.literal('oauth2'),
  tokenUrl: z.string().min(1).max(2048),
  clientId: vschar(512),
  clientSecret: vschar(4096),
  scope: z
    .string()
    .max(1024)
    .regex(
      // RFC 6749 appendix A.4.
      /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/,
      'must be scopes with one space between them',
    )
    .optional(),
  audience: vschar(1024).optional(),
  clientAuthentication: z
    .enum(['basic', 'post'])
    .default('basic')
    .describe(
      'Where the token server takes the client from: the `Authorization` header, or the form (RFC 6749 §2.3.1).',
    ),
});
const mtls = z.strictObject({
  type: z.literal('mtls'),
  certificate: z
    .string()
    .min(1)
    .max(MAX_PEM)
    .describe('PEM of the client certificate, followed by the certificates that lead to its authority.'),
  privateKey: z.string().min(1).max(MAX_PEM).describe('PEM, not encrypted.'),
});

const error = `must be ${AUTH_TYPES.map((type) => `\`${type}\``).join(', ')}`;
const union = z.discriminatedUnion('type', [none, basic, bearer, header, oauth2, mtls], { error });

export const auth = union.describe(
  'What the receiver knows Posthorn by, beside the signature. Secrets are shown as `***`, which, sent back, keeps what is ' +
    'stored. Null is `none`.',
);
export type Auth = z.output<typeof union>;
export type AuthType = Auth['type'];
export type OAuth2Client = z.output<typeof oauth2>;

/** What can be shown to whom nothing but a request is sent. */
const plainUnion = z.discriminatedUnion('type', [none, basic, bearer, header], {
  error: 'must be `none`, `basic`, `bearer`, `header`',
});
export const plainAuth = plainUnion.describe(
  'What Posthorn is known by. Secrets are shown as `***`, which, sent back, keeps what is stored. Null is `none`.',
);
export type PlainAuth = z.output<typeof plainUnion>;

export const tls = z
  .strictObject({
    ca: z
      .string()
      .min(1)
      .max(MAX_AUTHORITIES_PEM)
      .describe(
        'PEM of the certificate authorities that the receiver is trusted by, instead of the public ones.',
      ),
  })
  .describe('Null: the public certificate authorities.');

const masked = z.string().describe('`***`');
const plainShown = [
  none,
  z.strictObject({ type: z.literal('basic'), username: z.string(), password: masked }),
  z.strictObject({ type: z.literal('bearer'), token: masked }),
  z.strictObject({ type: z.literal('header'), name: z.string(), value: masked }),
] as const;
export const plainAuthShown = z.discriminatedUnion('type', plainShown);
const authShown = z.discriminatedUnion('type', [
  ...plainShown,
  z.strictObject({
    type: z.literal('oauth2'),
    tokenUrl: z.string(),
    clientId: z.string(),
    clientSecret: masked,
    scope: z.string().optional(),
    audience: z.string().optional(),
    clientAuthentication: z.enum(['basic', 'post']),
  }),
  z.strictObject({ type: z.literal('mtls'), certificate: z.string(), privateKey: masked }),
]);

export const credentialsShown = {
  auth: authShown,
  tls: z.strictObject({ ca: z.string() }).nullable(),
  certificates: z
    .array(
      z.strictObject({
        use: z.enum(['client', 'authority']),
        subject: z.string(),
        issuer: z.string(),
        fingerprint256: z.string().describe('SHA-256, hexadecimal with colons.'),
        expiresAt: time,
      }),
    )
    .describe('Read from `auth.certificate` and `tls.ca`.'),
  certificateExpiresAt: time
    .nullable()
    .describe(
      'When deliveries begin to fail unless a certificate is renewed: the first of the client certificate and its chain to end, ' +
        'or the last of the authorities.',
    ),
};
