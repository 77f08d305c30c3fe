import { readChunkReference, type SpawnRequest } from '@shoal/scheduler'
import type { WireSpawn } from './protocol.ts'
import { wireToPayload } from './wire-value.ts'

/** What a body asked for, as the scheduler takes it. */
export function requestOf({ args, chunks, ...rest }: WireSpawn): SpawnRequest {
  const request = { ...rest, args: wireToPayload(args) }
  if (chunks.length === 0) return request
  return {
    ...request,
    chunks: chunks.map(({ index, chunk }) => ({ index, chunk: readChunkReference(chunk) })),
  }
}
