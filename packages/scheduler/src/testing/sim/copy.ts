import {
  ChunkPayload,
  PackedColumn,
  PackedPayload,
  type Payload,
  readChunkReference,
  readColumn,
} from '../../index.ts'

/**
 * A deep, frozen copy of plain data: what a peer sends can share nothing with what another gets.
 * Payloads become their packed form, as on a real link.
 */
export function frozenCopy<T>(value: T): T {
  return copy(value) as T
}

function copy(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof PackedPayload || value instanceof Uint8Array) return value
  if (value instanceof PackedColumn) return readColumn(value.pack())
  if (value instanceof ChunkPayload) return readChunkReference(value.pack())
  if (Array.isArray(value)) return Object.freeze(value.map(copy))
  if (isPayload(value)) return new PackedPayload(value.pack())
  const result: Record<string, unknown> = {}
  for (const key in value) result[key] = copy((value as Record<string, unknown>)[key])
  return Object.freeze(result)
}

function isPayload(value: object): value is Payload {
  return typeof (value as { pack?: unknown }).pack === 'function'
}
