/** Of `deliveries d`, those that nobody has tried and no workflow is to be told of: they wait for whoever has room for them. */
export const UNTRIED = `d.status = 'pending' AND d.attempt_count = 0 AND d.next_trigger = 'schedule' AND d.tell IS NULL`;
