import { customHeaders } from '../endpoints/custom-headers.js';
import { parseUrl } from '../common/parse-url.js';
import { type Change, TransformError } from './transformation.js';

const MAX_URL = 2048;

export interface Target {
  url: string;
  /** Names in lower case that nothing but Posthorn sets: of the signature, and of the endpoint's own credentials. */
  taken: readonly string[];
}

/** What is sent in the place of an event as it was. */
export interface Changed {
  url: string;
  /** Beside the endpoint's own, and in their place; names in lower case. */
  headers: Readonly<Record<string, string>>;
  /** JSON text; undefined: as it was. */
  body: string | undefined;
}

/**
 * Looks at what a transformation asks for by the rules that hold for the endpoint itself.
 *
 * @throws TransformError
 */
export function checkChange(target: Target, { body, headers, path }: Change): Changed {
  return {
    url: path === undefined ? target.url : withPath(target.url, path),
    headers: headers === undefined ? {} : checkHeaders(target, headers),
    body,
  };
}

/**
 * Another path, and another query where it has one. Scheme, host, port and credentials are the endpoint's own, whatever is
 * asked for: the owner of the endpoint has shown that this host wants deliveries, and of no other one.
 */
function withPath(endpointUrl: string, path: unknown): string {
  // The same that the transport refuses in URLs, whose readers differ in what these mean.
  if (typeof path !== 'string' || !/^\/[^\u0000-\u0020\u007f\\#]*$/.test(path))
    throw new TransformError('the path must begin with `/`, without spaces, backslashes and `#`');
  const before = parseUrl(endpointUrl);
  if (!before) throw new TransformError('the URL of the endpoint cannot be read');
  const { search } = before;
  const url = parseUrl(`${before.origin}${path}${path.includes('?') ? '' : search}`);
  // Written as it is meant to be, it cannot lead elsewhere; the transport looks at the address again all the same.
  if (url?.origin !== before.origin || url.username !== '' || url.password !== '')
    throw new TransformError('the path must not lead to another host');
  if (url.href.length > MAX_URL)
    throw new TransformError(`the URL would be longer than ${MAX_URL} characters`);
  return url.href;
}

function checkHeaders({ taken }: Target, headers: unknown): Record<string, string> {
  const checked = customHeaders.safeParse(headers);
  if (!checked.success) {
    const [issue] = checked.error.issues;
    const name = issue?.path.map(String).join('.') ?? '';
    throw new TransformError(`the headers: ${name === '' ? '' : `${name} `}${issue?.message ?? 'are wrong'}`);
  }
  const own = Object.keys(checked.data).find((name) => taken.includes(name));
  if (own !== undefined) throw new TransformError(`the header ${own} is set by Posthorn itself`);
  return checked.data;
}
