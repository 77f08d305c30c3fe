/** Rounds per millisecond of the reference worker: one core of a 2024 laptop, as measured with this loop. */
export const referenceRoundsPerMs = 200_000
const measureMs = 20

/** Speed of this thread relative to the reference worker, with two digits; takes about 20 ms. */
export function measureSpeed(): number {
  spin(20_000)
  const start = performance.now()
  let rounds = 0
  let elapsedMs = 0
  while (elapsedMs < measureMs) {
    rounds += spin(100_000)
    elapsedMs = performance.now() - start
  }
  const score = rounds / elapsedMs / referenceRoundsPerMs
  return Math.max(0.01, Math.round(score * 100) / 100)
}

let sink = 0

/** Integer and branch work, like most small bodies. The sum is kept so that no engine drops the loop. */
function spin(rounds: number): number {
  let state = 2463534242 | 0
  for (let round = 0; round < rounds; round++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    if ((state & 7) === 0) sink = (sink + state) | 0
  }
  return rounds
}
