import { createRequire } from 'node:module';

/** One payload as GitHub sends it. */
export interface GithubEvent {
  /** As in `X-GitHub-Event`: `push`, `issues`, `pull_request`. */
  type: string;
  /** JSON text. */
  data: string;
}

/** Every example payload that `@octokit/webhooks-examples` carries, type by type. */
export function githubEvents(): GithubEvent[] {
  // The package is one JSON file of 3 MB, which its types describe as a module; only names and examples are of interest.
  const definitions = createRequire(import.meta.url)('@octokit/webhooks-examples') as Definition[];
  return definitions.flatMap(({ name, examples }) =>
    examples.map((example) => ({ type: name, data: JSON.stringify(example) })),
  );
}

interface Definition {
  name: string;
  examples: unknown[];
}
