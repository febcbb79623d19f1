import type { System } from './system.js';

/** What the processes of the system say of themselves, added up. */
export async function totals(system: System, metric: string): Promise<number> {
  const texts = await Promise.all(
    system.processes.map(async (url) => {
      const response = await fetch(`${url}/metrics`, {
        headers: { authorization: `Bearer ${system.rootKey}` },
      });
      return response.text();
    }),
  );
  return texts
    .flatMap((text) => text.split('\n'))
    .filter((line) => line.startsWith(`${metric} `))
    .reduce((sum, line) => sum + Number(line.slice(metric.length)), 0);
}
