/** What stands beside the data: an object of JSON texts, by the names of the lookups. */
export const contextOf = (found: readonly { name: string; json: string }[]): string =>
  `{${found.map(({ name, json }) => `${JSON.stringify(name)}:${json}`).join(',')}}`;
