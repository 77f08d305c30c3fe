/** Element `floor(p * n)` of the sorted samples. */
export function percentile(samples: readonly number[], p: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? Number.NaN
}

export function median(samples: readonly number[]): number {
  return percentile(samples, 0.5)
}

/** One result: a line of JSON, or of the table. */
export interface Row {
  readonly bench: string
  readonly place: string
  readonly system: string
  readonly metric: string
  readonly unit: string
  readonly median: number
  readonly min: number
  readonly max: number
  readonly n: number
  readonly ratioTo: string | null
  readonly ratio: number | null
  readonly ratioMin: number | null
  readonly ratioMax: number | null
  readonly note: string
}

export type Label = Pick<Row, 'bench' | 'place' | 'metric' | 'unit'> & { readonly note?: string }

/** Values of each system, one for each repetition, in the same order. */
export type Samples = ReadonlyMap<string, readonly number[]>

/** One row for each system, and one more for each reference: the ratio is taken inside each repetition. */
export function rowsOf(label: Label, samples: Samples, references: readonly string[] = []): Row[] {
  const rows: Row[] = []
  for (const [system, values] of samples) {
    const others = references.filter((name) => name !== system && samples.has(name))
    const plain = rowOf(label, system, values)
    if (others.length === 0) rows.push(plain)
    for (const ratioTo of others) {
      const base = samples.get(ratioTo) as readonly number[]
      const ratios = values.map((value, index) => value / (base[index] as number))
      rows.push({
        ...plain,
        ratioTo,
        ratio: median(ratios),
        ratioMin: Math.min(...ratios),
        ratioMax: Math.max(...ratios),
      })
    }
  }
  return rows
}

export function rowOf(label: Label, system: string, values: readonly number[]): Row {
  return {
    note: '',
    ...label,
    system,
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    n: values.length,
    ratioTo: null,
    ratio: null,
    ratioMin: null,
    ratioMax: null,
  }
}

export interface Contestant {
  readonly name: string
  /** One repetition; gives its value and has checked its answer. */
  once(): Promise<number>
}

/**
 * Runs everybody once unrecorded, then `repetitions` times back to back, in rotating order; fewer, but one
 * at least, when `budgetMs` are over before.
 */
export async function paired(
  repetitions: number,
  contestants: readonly Contestant[],
  budgetMs: number = Number.POSITIVE_INFINITY,
): Promise<Samples> {
  const endsAt = performance.now() + budgetMs
  const samples = new Map<string, number[]>(contestants.map(({ name }) => [name, []]))
  for (let repetition = -1; repetition < repetitions; repetition++) {
    if (repetition > 0 && performance.now() > endsAt) break
    for (let k = 0; k < contestants.length; k++) {
      const { name, once } = contestants[(k + repetition + 1) % contestants.length] as Contestant
      collectGarbage()
      const value = await once()
      if (repetition >= 0) samples.get(name)?.push(value)
    }
  }
  return samples
}

export function collectGarbage(): void {
  ;(globalThis as { gc?: () => void }).gc?.()
}

export function check(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected)
    throw new Error(`${what} must be ${String(expected)}: current value is ${String(actual)}`)
}
