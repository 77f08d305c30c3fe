/** Packed values on their way to or from a worker: one buffer, as each of its own would cost more than the value. */
export interface PackedRow {
  readonly bytes: Uint8Array
  /** Where each value ends. */
  readonly ends: readonly number[]
}

export function joinRow(parts: readonly Uint8Array[]): PackedRow {
  const ends: number[] = []
  let size = 0
  for (const part of parts) {
    size += part.length
    ends.push(size)
  }
  const bytes = new Uint8Array(size)
  parts.forEach((part, index) => {
    bytes.set(part, (ends[index] as number) - part.length)
  })
  return { bytes, ends }
}

/** One of the values, as a view. */
export function partOf({ bytes, ends }: PackedRow, index: number): Uint8Array {
  return bytes.subarray(ends[index - 1] ?? 0, ends[index])
}
