import { PackedColumn } from '@shoal/scheduler'
import { packShared } from './pack.ts'
import type { Row } from './slice.ts'

/** What a column is made of: a number, or a packed value. */
export type Cell = number | Uint8Array

/** Packed values of more bytes are better off in records of their own. */
const cellBytesMax = 4_096

/**
 * The cell of a plain value; `null`: it is too big for one.
 * @throws ShoalError as `packValue`
 */
export function toCell(value: unknown): Cell | null {
  if (typeof value === 'number') return value
  if (isBulky(value, 2)) return null
  const bytes = packShared(value, null)
  return bytes.length > cellBytesMax ? null : bytes
}

/** Whether a look at the outside shows that it is too big: it is not packed for nothing. */
function isBulky(value: unknown, depth: number): boolean {
  if (typeof value === 'string') return value.length > cellBytesMax
  if (typeof value !== 'object' || value === null) return false
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return value.byteLength > cellBytesMax
  if (!Array.isArray(value)) return depth > 0 && Object.values(value).some((part) => isBulky(part, depth - 1))
  return value.length > cellBytesMax || (depth > 0 && value.some((part) => isBulky(part, depth - 1)))
}

/** The cells of all values; `null`: one is too big. */
export function toCells(row: Row): Float64Array | Cell[] | null {
  if (row instanceof Float64Array) return row
  const cells: Cell[] = []
  for (const value of row) {
    const cell = toCell(value)
    if (cell === null) return null
    cells.push(cell)
  }
  return cells
}

/** @param isWrapped each value is the only argument of its task */
export function toColumn(cells: Float64Array | readonly Cell[], isWrapped: boolean): PackedColumn {
  if (cells instanceof Float64Array) return new PackedColumn(cells, isWrapped)
  const areNumbers = cells.every((cell) => typeof cell === 'number')
  if (areNumbers) return new PackedColumn(Float64Array.from(cells as readonly number[]), isWrapped)
  const packed = cells.map((cell) => (typeof cell === 'number' ? packShared(cell, null) : cell))
  return new PackedColumn(packed, isWrapped)
}
