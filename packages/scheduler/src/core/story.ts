/**
 * The recent history of every key (task, job, peer), in one ring: writing costs two stores, and
 * nothing is formatted until somebody asks.
 */
export class Story {
  readonly #entries: (StoryEntry | undefined)[]
  #next = 0

  constructor(entriesMax: number) {
    this.#entries = new Array(entriesMax)
  }

  /** @param subject the record that the line is about, compared by identity or equality */
  add(at: number, subject: unknown, text: string, detail: string | number | null = null): void {
    this.#entries[this.#next] = { at, subject, text, detail }
    this.#next = (this.#next + 1) % this.#entries.length
  }

  /** The lines about `subject` that are still remembered, oldest first. */
  of(subject: unknown): string[] {
    const lines: string[] = []
    for (let i = 0; i < this.#entries.length; i++) {
      const entry = this.#entries[(this.#next + i) % this.#entries.length]
      if (entry === undefined || entry.subject !== subject) continue
      const detail = entry.detail === null ? '' : ` ${entry.detail}`
      lines.push(`${entry.at.toFixed(1)} ms ${entry.text}${detail}`)
    }
    return lines
  }
}

interface StoryEntry {
  readonly at: number
  readonly subject: unknown
  readonly text: string
  readonly detail: string | number | null
}
