import { ShoalError } from './errors.ts'
import type { JobId, PeerId, TaskRef } from './ids.ts'
import type { Payload } from './payload.ts'

/** Identity of a chunk: `<peer>.<epoch>.<n>`, made by the peer that made the value, never used twice. */
export type ChunkId = string & { readonly __brand: 'ChunkId' }

/** A value that stays where it was made: what travels instead of its bytes. */
export interface ChunkRef {
  readonly id: ChunkId
  /** Size of the packed bytes. */
  readonly sizeBytes: number
  /**
   * What the bytes must match: SHA-256 over the SHA-256s of their pieces of 1 MiB (the last one may be shorter),
   * one after the other. Who cannot name it is given no byte.
   */
  readonly hash: Uint8Array
  /** The peer where it was made. Others may hold copies. */
  readonly home: PeerId
}

/** Builds the id of the `n`-th chunk that `peer` made in its start `epoch`. */
export function chunkId(peer: PeerId, epoch: number, n: number): ChunkId {
  return `${peer}.${epoch}.${n}` as ChunkId
}

/** The peer that made a chunk; `null` when the text is no chunk id. */
export function homeOf(id: string): PeerId | null {
  const match = /^([\x21-\x7e]{1,200})\.\d{1,16}\.\d{1,16}$/.exec(id)
  return match === null ? null : (match[1] as PeerId)
}

/** How a packed reference starts, with its version: no value does, as MessagePack never uses the first byte. */
const mark: readonly number[] = [0xc1, 0x53, 0x43, 1]
const sizeAt = 4
const hashAt = sizeAt + 8
const hashBytes = 32
const noAt = hashAt + hashBytes
const countAt = noAt + 8
const textsAt = countAt + 1
/** Holders named in one reference: more help no fetch. */
const holdersMax = 32

/** A value that is somewhere else: the reference to its chunk, in the place of its bytes. */
export class ChunkPayload implements Payload {
  readonly ref: ChunkRef
  /** The task whose result it is, which can make it again; `null`: a user put it. */
  readonly task: TaskRef | null
  /** Who has all of it, as far as the sender knew. */
  readonly holders: readonly PeerId[]
  #packed: Uint8Array | null = null

  constructor(ref: ChunkRef, task: TaskRef | null, holders: readonly PeerId[]) {
    this.ref = ref
    this.task = task
    this.holders = holders.length > holdersMax ? holders.slice(0, holdersMax) : holders
  }

  pack(): Uint8Array {
    this.#packed ??= packReference(this)
    return this.#packed
  }
}

/** Says whether packed bytes are a reference to a chunk and no value. */
export function isChunkReference(bytes: Uint8Array): boolean {
  return mark.every((byte, index) => bytes[index] === byte)
}

function packReference({ ref, task, holders }: ChunkPayload): Uint8Array {
  const texts = [ref.id, task?.job ?? '', ...holders]
  const size = texts.reduce((sum, text) => sum + 2 + text.length, textsAt)
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  bytes.set(mark)
  view.setFloat64(sizeAt, ref.sizeBytes)
  bytes.set(ref.hash.subarray(0, hashBytes), hashAt)
  view.setFloat64(noAt, task?.no ?? -1)
  bytes[countAt] = holders.length
  let at = textsAt
  for (const text of texts) {
    view.setUint16(at, text.length)
    for (let index = 0; index < text.length; index++) bytes[at + 2 + index] = text.charCodeAt(index)
    at += 2 + text.length
  }
  return bytes
}

/**
 * Reads what {@link ChunkPayload.pack} wrote, also when it comes from a stranger.
 * @throws ShoalError `E_CHUNK_REF`
 */
export function readChunkReference(bytes: Uint8Array): ChunkPayload {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < textsAt || !isChunkReference(bytes)) throw badReference('its form is unknown')
  const sizeBytes = view.getFloat64(sizeAt)
  const no = view.getFloat64(noAt)
  const count = bytes[countAt] as number
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw badReference(`its size is ${sizeBytes}`)
  if (!Number.isSafeInteger(no) || no < -1) throw badReference(`its task is ${no}`)
  if (count > holdersMax) throw badReference(`it names ${count} holders`)
  const texts: string[] = []
  let at = textsAt
  for (let index = 0; index < count + 2; index++) {
    const length = at + 2 <= bytes.length ? view.getUint16(at) : 256
    if (length > 255 || at + 2 + length > bytes.length) throw badReference('it is cut')
    texts.push(readText(bytes, at + 2, length, index === 1))
    at += 2 + length
  }
  if (at !== bytes.length) throw badReference('it is too long')
  const [id, job, ...holders] = texts as [string, string, ...string[]]
  const home = homeOf(id)
  if (home === null) throw badReference('its id is none')
  if ((job === '') !== (no === -1)) throw badReference('its task is half a name')
  const hash = bytes.slice(hashAt, hashAt + hashBytes)
  const task = job === '' ? null : { job: job as JobId, no }
  return new ChunkPayload({ id: id as ChunkId, sizeBytes, hash, home }, task, holders as PeerId[])
}

function readText(bytes: Uint8Array, from: number, length: number, mayBeEmpty: boolean): string {
  if (length === 0 && !mayBeEmpty) throw badReference('a name is empty')
  let text = ''
  for (let at = from; at < from + length; at++) {
    const code = bytes[at] as number
    if (code < 0x21 || code > 0x7e) throw badReference('a name is not of visible characters')
    text += String.fromCharCode(code)
  }
  return text
}

function badReference(why: string): ShoalError {
  return new ShoalError('E_CHUNK_REF', `Cannot read a reference to a chunk as it must be well formed: ${why}`)
}

/** Says whether two references are to the same bytes. */
export function isSameChunk(left: ChunkRef, right: ChunkRef): boolean {
  return (
    left.id === right.id &&
    left.sizeBytes === right.sizeBytes &&
    left.hash.length === right.hash.length &&
    left.hash.every((byte, index) => byte === right.hash[index])
  )
}
