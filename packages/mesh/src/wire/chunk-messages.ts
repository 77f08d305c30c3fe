import {
  type ChunkId,
  type ChunkNeed,
  type ChunkPayload,
  type ChunkWish,
  homeOf,
  type KeptChunk,
  type MessageOf,
  readChunkReference,
  ShoalError,
} from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { asBoolean, asBytes, asId, asJobId, asList, asPeerId, asTuple, schemaError } from './validate.ts'
import { asFlat, readError, readNo, writeError } from './values.ts'

type ChunkMessage = MessageOf<'holds' | 'free' | 'want' | 'located'>

const entriesMax = limits.batchEntriesMax * 4
const wishes: readonly ChunkWish[] = ['keep', 'find', 'release', 'take']

/** The fields of a message about chunks, after its code. */
export function writeChunkMessage(message: ChunkMessage): readonly unknown[] {
  switch (message.type) {
    case 'holds': {
      const chunks = message.chunks.flatMap(({ id, task }) => [id, task?.job ?? null, task?.no ?? 0])
      return [chunks, message.isAll]
    }
    case 'free':
      return [message.chunks]
    case 'want':
      return [message.chunk.pack(), wishes.indexOf(message.wish)]
    case 'located': {
      const error = message.error === null ? null : writeError(message.error, 0)
      return [message.chunk, wishes.indexOf(message.wish), message.holders, error]
    }
  }
}

/** @throws ShoalError `E_SCHEMA`, `E_CHUNK_REF` */
export function readChunkMessage(type: ChunkMessage['type'], value: readonly unknown[]): ChunkMessage {
  switch (type) {
    case 'holds': {
      const [, list, isAll] = asTuple(value, 3, type)
      const flat = asFlat(list, 3, 'held chunks')
      const chunks: KeptChunk[] = []
      for (let at = 0; at < flat.length; at += 3) {
        const job = flat[at + 1]
        const task =
          job === null ? null : { job: asJobId(job, 'the job of a chunk'), no: readNo(flat[at + 2]) }
        chunks.push({ id: readChunkId(flat[at]), task })
      }
      return { type, chunks, isAll: asBoolean(isAll, 'isAll') }
    }
    case 'free': {
      const [, chunks] = asTuple(value, 2, type)
      return { type, chunks: asList(chunks, entriesMax, 'chunks', readChunkId) }
    }
    case 'want': {
      const [, chunk, wish] = asTuple(value, 3, type)
      return { type, chunk: readChunk(chunk), wish: readWish(wish) }
    }
    case 'located': {
      const [, chunk, wish, holders, error] = asTuple(value, 5, type)
      return {
        type,
        chunk: readChunkId(chunk),
        wish: readWish(wish),
        holders: asList(holders, entriesMax, 'holders', (id) => asPeerId(id, 'a holder')),
        error: error === null ? null : readError(error, 0),
      }
    }
  }
}

/** Chunks among arguments travel between the needs: index, packed reference, 0. */
export function writeChunkNeeds(chunks: readonly ChunkNeed[] | undefined): readonly unknown[] {
  return (chunks ?? []).flatMap(({ index, chunk }) => [index, chunk.pack(), 0])
}

/** The chunks among a list of needs; nothing when there is none. */
export function readChunkNeeds(value: unknown): { readonly chunks?: readonly ChunkNeed[] } {
  const flat = asFlat(value, 3, 'needs')
  const chunks: ChunkNeed[] = []
  for (let at = 0; at < flat.length; at += 3) {
    const index = flat[at]
    if (!(flat[at + 1] instanceof Uint8Array)) continue
    if (typeof index !== 'number' || !Number.isInteger(index) || index < -1 || index > 65_535)
      throw schemaError('the index of a chunk', 'a whole number from -1 to 65535', index)
    chunks.push({ index, chunk: readChunk(flat[at + 1]) })
  }
  return chunks.length === 0 ? noChunks : { chunks }
}

const noChunks = Object.freeze({})

function readChunk(value: unknown): ChunkPayload {
  return readChunkReference(asBytes(value, 'a chunk'))
}

export function readChunkId(value: unknown): ChunkId {
  const id = asId(value, 'a chunk')
  if (homeOf(id) !== null) return id as ChunkId
  throw new ShoalError(
    'E_CHUNK_REF',
    `Cannot read the id of a chunk as it must name its home: current value is "${id}"`,
  )
}

function readWish(value: unknown): ChunkWish {
  const wish = typeof value === 'number' ? wishes[value] : undefined
  if (wish === undefined) throw schemaError('a wish', 'a number from 0 to 3', value)
  return wish
}

export type { ChunkMessage }
