/** The service of B6. */
export class Counter {
  n = 0
  incr(k: number): number {
    this.n += k
    return this.n
  }
  echo(i: number): number {
    this.n += 1
    return i
  }
}
