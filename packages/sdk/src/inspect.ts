/** The name under which Node's `console.log` asks an object what to show. */
const inspectCustom = Symbol.for('nodejs.util.inspect.custom')

/** Lets `console.log` on Node show what `toString` says, not everything that hangs on a handle. */
export function showAsText(prototype: { toString(): string }): void {
  Object.defineProperty(prototype, inspectCustom, {
    value(this: { toString(): string }): string {
      return this.toString()
    },
  })
}
