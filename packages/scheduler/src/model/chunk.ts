import { ShoalError } from './errors.ts'
import type { JobId, PeerId, TaskRef } from './ids.ts'
import { PackedPayload, type Payload } from './payload.ts'

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
/** Chunks whose handles lie inside one value: each is named wherever the value is spoken of. */
const innerMax = 4096
/** How a packed value starts that handles to chunks lie in, with its version. */
const holdingMark: readonly number[] = [0xc1, 0x53, 0x48, 1]

const noChunks: readonly ChunkPayload[] = Object.freeze([])

/** A value that is somewhere else: the reference to its chunk, in the place of its bytes. */
export class ChunkPayload implements Payload {
  readonly ref: ChunkRef
  /** The task whose result it is, which can make it again; `null`: a user put it. */
  readonly task: TaskRef | null
  /** Who has all of it, as far as the sender knew. */
  readonly holders: readonly PeerId[]
  /** Chunks whose handles lie inside the value, each without those inside itself. */
  readonly inner: readonly ChunkPayload[]
  #packed: Uint8Array | null = null

  /** @throws ShoalError `E_TOO_LARGE` too many chunks inside */
  constructor(
    ref: ChunkRef,
    task: TaskRef | null,
    holders: readonly PeerId[],
    inner: readonly ChunkPayload[] = noChunks,
  ) {
    this.ref = ref
    this.task = task
    this.holders = holders.length > holdersMax ? holders.slice(0, holdersMax) : holders
    this.inner = namedOnce(inner)
  }

  pack(): Uint8Array {
    this.#packed ??= packReference(this)
    return this.#packed
  }
}

/** A value in bytes that handles to chunks lie in: its bytes, and which chunks they are. */
export class HoldingPayload extends PackedPayload {
  readonly inner: readonly ChunkPayload[]
  #packed: Uint8Array | null = null

  /** @throws ShoalError `E_TOO_LARGE` too many chunks inside */
  constructor(bytes: Uint8Array, inner: readonly ChunkPayload[]) {
    super(bytes)
    this.inner = namedOnce(inner)
  }

  override pack(): Uint8Array {
    this.#packed ??= joinHolding(this)
    return this.#packed
  }
}

/** A value in bytes, with the chunks whose handles lie in it. */
export function payloadOf(bytes: Uint8Array, inner: readonly ChunkPayload[]): PackedPayload {
  return inner.length === 0 ? new PackedPayload(bytes) : new HoldingPayload(bytes, inner)
}

/** The chunks whose handles lie in a value. */
export function innerChunks(payload: Payload): readonly ChunkPayload[] {
  return payload instanceof ChunkPayload || payload instanceof HoldingPayload ? payload.inner : noChunks
}

/** The chunks that a handle to this value keeps: the one that it is, or those inside it. */
export function heldChunks(payload: Payload): readonly ChunkPayload[] {
  return payload instanceof ChunkPayload ? [payload] : innerChunks(payload)
}

/**
 * What the packed form of a payload means.
 * @throws ShoalError `E_CHUNK_REF` a reference that is malformed
 */
export function readPayload(bytes: Uint8Array): PackedPayload | ChunkPayload {
  if (bytes[0] !== mark[0]) return new PackedPayload(bytes)
  if (isChunkReference(bytes)) return readChunkReference(bytes)
  if (!startsWith(bytes, holdingMark)) return new PackedPayload(bytes)
  const inner = readInner(bytes, holdingMark.length)
  return new HoldingPayload(bytes.subarray(inner.end), inner.chunks)
}

/** The value's own bytes in the packed form of a payload that is no reference. */
export function valueBytes(packed: Uint8Array): Uint8Array {
  return packed[0] === mark[0] && startsWith(packed, holdingMark)
    ? (readPayload(packed) as PackedPayload).bytes
    : packed
}

function startsWith(bytes: Uint8Array, start: readonly number[]): boolean {
  return start.every((byte, index) => bytes[index] === byte)
}

function namedOnce(inner: readonly ChunkPayload[]): readonly ChunkPayload[] {
  if (inner.length === 0) return noChunks
  const byId = new Map<ChunkId, ChunkPayload>()
  for (const one of inner)
    byId.set(one.ref.id, one.inner.length === 0 ? one : new ChunkPayload(one.ref, one.task, one.holders))
  if (byId.size <= innerMax) return [...byId.values()]
  const text = `Cannot pack value as handles to at most ${innerMax} chunks may lie in it: current value is ${byId.size}`
  throw new ShoalError('E_TOO_LARGE', text)
}

function joinHolding({ bytes, inner }: HoldingPayload): Uint8Array {
  const list = packInner(inner)
  const joined = new Uint8Array(holdingMark.length + list.length + bytes.length)
  joined.set(holdingMark)
  joined.set(list, holdingMark.length)
  joined.set(bytes, holdingMark.length + list.length)
  return joined
}

/** Their number, and each with its length before it. */
function packInner(inner: readonly ChunkPayload[]): Uint8Array {
  const parts = inner.map((chunk) => chunk.pack())
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + 2 + part.length, 2))
  const view = new DataView(bytes.buffer)
  view.setUint16(0, parts.length)
  let at = 2
  for (const part of parts) {
    view.setUint16(at, part.length)
    bytes.set(part, at + 2)
    at += 2 + part.length
  }
  return bytes
}

function readInner(
  bytes: Uint8Array,
  from: number,
): { readonly chunks: ChunkPayload[]; readonly end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const sizeAt = (at: number): number => {
    if (at + 2 > bytes.length) throw badReference('its list of chunks is cut')
    return view.getUint16(at)
  }
  const count = sizeAt(from)
  if (count === 0 || count > innerMax) throw badReference(`it names ${count} chunks inside`)
  const chunks: ChunkPayload[] = []
  let at = from + 2
  for (let index = 0; index < count; index++) {
    const end = at + 2 + sizeAt(at)
    if (end > bytes.length) throw badReference('its list of chunks is cut')
    const chunk = readChunkReference(bytes.subarray(at + 2, end))
    if (chunk.inner.length > 0) throw badReference('a chunk inside names others')
    chunks.push(chunk)
    at = end
  }
  return { chunks, end: at }
}

/** Says whether packed bytes are a reference to a chunk and no value. */
export function isChunkReference(bytes: Uint8Array): boolean {
  return startsWith(bytes, mark)
}

function packReference({ ref, task, holders, inner }: ChunkPayload): Uint8Array {
  const texts = [ref.id, task?.job ?? '', ...holders]
  const size = texts.reduce((sum, text) => sum + 2 + text.length, textsAt)
  const list = inner.length === 0 ? null : packInner(inner)
  const bytes = new Uint8Array(size + (list?.length ?? 0))
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
  if (list !== null) bytes.set(list, size)
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
  const inner = at === bytes.length ? null : readInner(bytes, at)
  if (inner !== null && inner.end !== bytes.length) throw badReference('it is too long')
  const [id, job, ...holders] = texts as [string, string, ...string[]]
  const home = homeOf(id)
  if (home === null) throw badReference('its id is none')
  if ((job === '') !== (no === -1)) throw badReference('its task is half a name')
  const hash = bytes.slice(hashAt, hashAt + hashBytes)
  const task = job === '' ? null : { job: job as JobId, no }
  return new ChunkPayload(
    { id: id as ChunkId, sizeBytes, hash, home },
    task,
    holders as PeerId[],
    inner?.chunks,
  )
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
