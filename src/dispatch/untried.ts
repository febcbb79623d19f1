/** Of `deliveries d`, those that nobody has tried and no workflow is to be told of: they wait for whoever has room for them. */
export const UNTRIED = `d.status = 'pending' AND d.attempt_count = 0 AND d.next_trigger = 'schedule' AND d.tell IS NULL`;
/** Of these, those that wait behind nothing of their endpoint: one that somebody has asked for, and one that finds out whether the receiver is back. */
export const AHEAD = '(d.probe OR d.next_attempt_at IS NOT NULL AND NOT d.paced)';
