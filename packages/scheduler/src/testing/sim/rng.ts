import type { Rng } from '../../ports.ts'

/** Seeded numbers: everything random in a simulated world comes from one of these. */
export interface SimRng extends Rng {
  /** Uniform integer in [0, below). */
  int(below: number): number
  /** Uniform number in [low, high). */
  between(low: number, high: number): number
  /** `true` with this probability. */
  chance(probability: number): boolean
  /** One of the items, which must not be empty. */
  pick<T>(items: readonly T[]): T
  /** The items in random order; the argument stays as it is. */
  shuffled<T>(items: readonly T[]): T[]
  /** An independent stream: what draws from it cannot disturb what draws from this one. */
  fork(label: string): SimRng
}

/** Mixes a word into a 32-bit hash; also the arithmetic of the simulated bodies. */
export function mix(hash: number, word: number): number {
  let mixed = (hash ^ word) >>> 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x119de1f3)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

/** Hash of a text, by code unit. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  }
  return hash >>> 0
}

/** sfc32, seeded through {@link mix}: small, fast, and the same everywhere. */
export function createRng(seed: number): SimRng {
  let a = mix(seed, 0x9e3779b9)
  let b = mix(seed, 0x243f6a88)
  let c = mix(seed, 0xb7e15162)
  let counter = 1
  const next = (): number => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + sum) | 0
    return (sum >>> 0) / 4_294_967_296
  }
  for (let round = 0; round < 12; round++) next()
  const int = (below: number): number => Math.floor(next() * below)
  return {
    next,
    int,
    between: (low, high) => low + next() * (high - low),
    chance: (probability) => next() < probability,
    pick: (items) => items[int(items.length)] as (typeof items)[number],
    shuffled(items) {
      const copy = [...items]
      for (let index = copy.length - 1; index > 0; index--) {
        const other = int(index + 1)
        const held = copy[index] as (typeof copy)[number]
        copy[index] = copy[other] as (typeof copy)[number]
        copy[other] = held
      }
      return copy
    },
    fork: (label) => createRng(mix(seed, hashText(label))),
  }
}
