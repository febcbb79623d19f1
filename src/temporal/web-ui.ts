/** Injects links to Temporal's Web UI. */
export const WEB_UI = Symbol('web ui');

export interface WebUi {
  linkTo(workflowId: string, runId: string | null): string | null;
}

/** @param base null where no Web UI is known */
export function createWebUi(base: string | null, namespace: string): WebUi {
  return {
    linkTo(workflowId, runId) {
      if (base === null) return null;
      const run = runId === null ? '' : `/${runId}/history`;
      return `${base.replace(/\/$/, '')}/namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(workflowId)}${run}`;
    },
  };
}
