/** Most items in one slice: bounds what a lost one runs again. */
const itemsMax = 256

/**
 * How many items a processor gets at once: half of the work that is kept ahead of it, so that one slice
 * waits while one runs, and less towards the end, so that all places end together. Too little to be worth
 * a message is not cut further.
 * @param places processors that share what is left
 */
export function sliceCount(
  left: number,
  itemMs: number,
  places: number,
  { windowMs }: { readonly windowMs: number },
): number {
  const work = windowMs / 2 / itemMs
  const share = Math.max(left / (2 * places), windowMs / 10 / itemMs)
  return Math.max(1, Math.min(left, itemsMax, Math.floor(Math.min(work, share))))
}
