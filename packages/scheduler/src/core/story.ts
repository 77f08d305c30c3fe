/**
 * The recent history of every key (task, job, peer), in one ring: writing costs a few stores and
 * makes nothing, and nothing is formatted until somebody asks.
 */
export class Story {
  readonly #size: number
  /** Columns, not records: a record for each line would outlive its task and keep the collector busy. */
  readonly #at: Float64Array
  readonly #subjects: unknown[]
  readonly #texts: string[]
  readonly #details: (string | number | null)[]
  #next = 0

  constructor(entriesMax: number) {
    this.#size = entriesMax
    this.#at = new Float64Array(entriesMax)
    this.#subjects = new Array<unknown>(entriesMax).fill(undefined)
    this.#texts = new Array<string>(entriesMax).fill('')
    this.#details = new Array<string | number | null>(entriesMax).fill(null)
  }

  /** @param subject the record that the line is about, compared by identity or equality */
  add(at: number, subject: unknown, text: string, detail: string | number | null = null): void {
    const index = this.#next
    this.#at[index] = at
    this.#subjects[index] = subject
    this.#texts[index] = text
    this.#details[index] = detail
    this.#next = index + 1 === this.#size ? 0 : index + 1
  }

  /** The lines about `subject` that are still remembered, oldest first. */
  of(subject: unknown): string[] {
    const lines: string[] = []
    if (subject === undefined) return lines
    for (let step = 0; step < this.#size; step++) {
      const index = (this.#next + step) % this.#size
      if (this.#subjects[index] !== subject) continue
      const detail = this.#details[index] ?? null
      const suffix = detail === null ? '' : ` ${detail}`
      lines.push(`${(this.#at[index] as number).toFixed(1)} ms ${this.#texts[index]}${suffix}`)
    }
    return lines
  }
}
