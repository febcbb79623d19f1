/** A conversion as far as finding the way goes. */
export interface Edge {
  from: string;
  to: string;
  /** UUID of what it does now. */
  id: string;
}

/** Conversions that lead from one version to another, in the order in which they are carried out. */
export interface Chain {
  /** The version that comes out. */
  to: string;
  steps: readonly Edge[];
  /** The same for the same steps, and for no others. */
  key: string;
}

export const MAX_STEPS = 10;

/** The ways between the versions of an event type. */
export class ConversionPaths {
  private readonly edges = new Map<string, Edge[]>();
  private readonly found = new Map<string, ReadonlyMap<string, Chain>>();

  /** @param edges each pair of versions once; of several ways that are equally short, those that come first here are taken */
  constructor(edges: readonly Edge[]) {
    for (const edge of edges) {
      const known = this.edges.get(edge.from);
      if (known) known.push(edge);
      else this.edges.set(edge.from, [edge]);
    }
  }

  /** The shortest way. @returns undefined where {@link MAX_STEPS} do not lead there, and from a version to itself */
  chain(from: string, to: string): Chain | undefined {
    // Anything may be published: only what there are conversions for is remembered.
    if (!this.edges.has(from)) return undefined;
    let chains = this.found.get(from);
    if (!chains) this.found.set(from, (chains = this.chainsFrom(from)));
    return chains.get(to);
  }

  /** By breadth first, so that the first way that is found to a version is the shortest. */
  private chainsFrom(from: string): ReadonlyMap<string, Chain> {
    const chains = new Map<string, Chain>();
    let reached: { at: string; steps: readonly Edge[] }[] = [{ at: from, steps: [] }];
    for (let length = 1; length <= MAX_STEPS && reached.length > 0; length += 1) {
      const next: typeof reached = [];
      for (const { at, steps } of reached) {
        for (const edge of this.edges.get(at) ?? []) {
          if (edge.to === from || chains.has(edge.to)) continue;
          const longer = [...steps, edge];
          chains.set(edge.to, { to: edge.to, steps: longer, key: longer.map(({ id }) => id).join() });
          next.push({ at: edge.to, steps: longer });
        }
      }
      reached = next;
    }
    return chains;
  }
}
