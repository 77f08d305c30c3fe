/** Weight of the newest run in a moving average: a change shows after about three runs. */
const alpha = 0.3
/** Clocks step by 5 to 100 microseconds: a run of "0" is taken as this. */
const runMsMin = 0.005

/** The next value of an exponentially weighted moving average of run times. */
export function nextAverageMs(previousMs: number | undefined, ranMs: number): number {
  const ran = Math.max(runMsMin, ranMs)
  return previousMs === undefined ? ran : previousMs + alpha * (ran - previousMs)
}
