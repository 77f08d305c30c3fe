/** Weight of the runs before in a moving average: a change shows after about three runs. */
const keep = 0.7
/** Clocks step by 5 to 100 microseconds: a run of "0" is taken as this. */
const runMsMin = 0.005

/**
 * The next value of an exponentially weighted moving average of run times.
 * @param ranMs the mean of `count` runs that were told together: one run that the machine interrupted
 *   among a hundred short ones must not pass for a change
 */
export function nextAverageMs(previousMs: number | undefined, ranMs: number, count = 1): number {
  const ran = Math.max(runMsMin, ranMs)
  return previousMs === undefined ? ran : previousMs + (1 - keep ** count) * (ran - previousMs)
}
