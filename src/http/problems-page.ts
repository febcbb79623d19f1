import { PROBLEMS } from '../common/problems.js';
import { ANSWER_CODES, TRANSPORT_CODES, UNSENT_CODES } from '../transport/codes.js';

/** docs/errors.md, made from the lists in the code. */
export function problemsPage(): string {
  const problems = Object.entries(PROBLEMS).map(
    ([code, { status, title, cure }]) => `| \`${code}\` | ${status} | ${title} | ${cure} |`,
  );
  const attempts = Object.entries({ ...TRANSPORT_CODES, ...ANSWER_CODES, ...UNSENT_CODES }).map(
    ([code, { cause, cure }]) => `| \`${code}\` | ${cause} | ${cure} |`,
  );
  return `# Error codes

Made from the code by \`npm run posthorn -- errors --write docs/errors.md\`; a check keeps it up to date.

## Answers of the API

Every answer that is not 2xx is \`application/problem+json\` (RFC 9457) with one of these in \`code\`. Codes are stable;
\`detail\` is for people and may change.

| code | status | what happened | what to do |
| --- | --- | --- | --- |
${problems.join('\n')}

## Attempts that got no proper answer

\`errorCode\` of an attempt, and the \`code\` in brackets of a refused endpoint URL.

| code | what happened | what to do |
| --- | --- | --- |
${attempts.join('\n')}
`;
}
