/** A first-in, first-out list that also takes entries at its front; all in amortised O(1). */
export class Deque<T> {
  #items: (T | undefined)[] = []
  #head = 0
  /** Entries put back, last one first out. */
  #front: T[] = []

  get size(): number {
    return this.#items.length - this.#head + this.#front.length
  }

  push(item: T): void {
    this.#items.push(item)
  }

  pushFront(item: T): void {
    this.#front.push(item)
  }

  peek(): T | undefined {
    return this.#front.length > 0 ? this.#front[this.#front.length - 1] : this.#items[this.#head]
  }

  shift(): T | undefined {
    if (this.#front.length > 0) return this.#front.pop()
    if (this.#head === this.#items.length) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head++] = undefined
    if (this.#head === this.#items.length) {
      this.#items = []
      this.#head = 0
    } else if (this.#head >= 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }

  /** Keeps only the entries that pass, in their order. */
  filter(keep: (item: T) => boolean): void {
    const all = [...this]
    this.#front = []
    this.#items = all.filter(keep)
    this.#head = 0
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let i = this.#front.length - 1; i >= 0; i--) yield this.#front[i] as T
    for (let i = this.#head; i < this.#items.length; i++) yield this.#items[i] as T
  }
}
