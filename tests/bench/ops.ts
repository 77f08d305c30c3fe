/*
 * The work that every system does. Each function stands alone: Shoal sends them as text, the raw
 * workers and the pools find them by name.
 */

export function noop(x: unknown): unknown {
  return x
}

/** An integer Monte Carlo kernel on xorshift32: hits of a quarter circle among `n` points. */
export function spin(n: number): number {
  let x = 2463534242 | 0
  let hits = 0
  for (let i = 0; i < n; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    const a = x & 0xffff
    const b = (x >>> 16) & 0xffff
    if (a * a + b * b <= 0xfffe0001) hits++
  }
  return hits
}

/** `k` times {@link spin} in one call: one half of a static split. */
export function spinMany([k, n]: readonly [number, number]): number {
  let hits = 0
  for (let i = 0; i < k; i++) hits += spin(n)
  return hits
}

export const ops = { noop, spin, spinMany } as const
export type OpName = keyof typeof ops

/** Runs an operation by its name. */
export function runOp(name: OpName, arg: unknown): unknown {
  return (ops[name] as (arg: unknown) => unknown)(arg)
}
