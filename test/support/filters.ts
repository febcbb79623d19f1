export const OVER_100 = { data: { amount: { $gt: 100 } } };

/** Over {@link THOUSANDS} as `data.list` it looks at each element for each of them: no filter may take so long. */
export const ENDLESS = { cel: 'event.data.list.all(x, x in event.data.list)' };
export const THOUSANDS = Array.from({ length: 20_000 }, (_, index) => index);
