import type { Socket } from 'node:net'
import { LINGER_MS, LOW_WATERMARK_BYTES } from '../limits.ts'

/** What a message on a TCP line is. */
export const kinds = {
  /** A message of the link's user. */
  data: 0,
  /** Of the data messages of this line so many were taken in: 4 bytes. */
  taken: 1,
  /** The other side closes the link, politely. */
  bye: 2,
  /** Who is there; see `door.ts`. */
  hello: 3,
} as const

/** In front of each message: kind (1 byte), length (3 bytes, big endian). */
const headerBytes = 4

/** Who reads a line. Nothing here may throw. */
export interface StreamReader {
  /** A longer message ends the line. */
  readonly bytesMax: number
  /** `body` is a view of what came in: others share its memory. */
  onMessage(kind: number, body: Uint8Array): void
  /** Where to put a message that comes in several reads; default: fresh memory. */
  memory?(sizeBytes: number): Uint8Array
  onDrain(): void
  /** Once: the line is gone, by itself or by the other side. Not called after `close` or `destroy`. */
  onGone(reason: string): void
}

/** Messages with a length in front, over one TCP or TLS socket. */
export interface Stream {
  /** Bytes accepted but not yet handed to the network. */
  readonly bufferedBytes: number
  /** When bytes last came in, by `performance.now()`. */
  readonly heardAt: number
  setReader(reader: StreamReader): void
  /** Queues a copy of `body`; all of one turn leave in one write. Gives the copy. */
  send(kind: number, body: Uint8Array): Uint8Array
  /** Queues a message in two parts; the second one is not copied, and must not change any more. */
  sendParts(kind: number, front: Uint8Array, rest: Uint8Array): void
  /** What arrives from now on waits. */
  pause(): void
  resume(): void
  /** Sends what is queued, then ends. */
  close(): void
  /** Ends at once. */
  destroy(): void
}

export function createStream(socket: Socket, reader: StreamReader): Stream {
  return new FramedStream(socket, reader)
}

class FramedStream implements Stream {
  readonly #socket: Socket
  #reader: StreamReader
  #heardAt = performance.now()
  /** The first message of this turn: alone it needs no gathering. */
  #first: Uint8Array | null = null
  #isCorked = false
  #isPaused = false
  #isOver = false
  #wasHigh = false
  /** Why the line is gone, while that cannot be told yet. */
  #endReason: string | null = null
  /** The start of a header, or what came while the stream was paused. */
  #rest: Buffer | null = null
  /** The message that is half here. */
  #body: Uint8Array | null = null
  #bodyKind = 0
  #gotBytes = 0

  constructor(socket: Socket, reader: StreamReader) {
    this.#socket = socket
    this.#reader = reader
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      this.#heardAt = performance.now()
      this.#read(this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]))
    })
    socket.on('error', (error) => this.#gone(error.message))
    socket.on('close', () => this.#gone('the other side closed it'))
  }

  get bufferedBytes(): number {
    if (this.#isOver) return 0
    return this.#socket.writableLength + (this.#first?.length ?? 0)
  }

  get heardAt(): number {
    return this.#heardAt
  }

  setReader(reader: StreamReader): void {
    this.#reader = reader
  }

  send(kind: number, body: Uint8Array): Uint8Array {
    const message = Buffer.allocUnsafe(headerBytes + body.length)
    message.writeUInt32BE(kind * 2 ** 24 + body.length, 0)
    message.set(body, headerBytes)
    const copy = message.subarray(headerBytes)
    this.#queue([message])
    return copy
  }

  sendParts(kind: number, front: Uint8Array, rest: Uint8Array): void {
    const start = Buffer.allocUnsafe(headerBytes + front.length)
    start.writeUInt32BE(kind * 2 ** 24 + front.length + rest.length, 0)
    start.set(front, headerBytes)
    this.#queue([start, rest])
  }

  pause(): void {
    this.#isPaused = true
    this.#socket.pause()
  }

  resume(): void {
    if (!this.#isPaused || this.#isOver) return
    this.#isPaused = false
    if (this.#rest !== null) this.#read(this.#rest)
    if (this.#isPaused || this.#isOver) return
    if (this.#endReason === null) this.#socket.resume()
    else this.#gone(this.#endReason)
  }

  close(): void {
    if (this.#isOver) return
    this.#writeFirst()
    this.#isOver = true
    const socket = this.#socket
    // Whoever waits for this socket's end must not wait for what the other side still sends.
    socket.resume()
    socket.end()
    const timer = setTimeout(() => socket.destroy(), LINGER_MS)
    socket.once('close', () => clearTimeout(timer))
  }

  destroy(): void {
    this.#isOver = true
    this.#socket.destroy()
  }

  /** A message alone in its turn is written as it is; several are gathered for one write. */
  #queue(parts: readonly Uint8Array[]): void {
    if (this.#isOver || this.#socket.writableEnded) return
    if (!this.#isCorked) {
      if (this.#first === null) process.nextTick(this.#flush)
      if (this.#first === null && parts.length === 1) {
        this.#first = parts[0] as Uint8Array
        return
      }
      this.#isCorked = true
      this.#socket.cork()
      this.#writeFirst()
    }
    for (const part of parts) this.#write(part)
  }

  readonly #flush = (): void => {
    this.#writeFirst()
    if (!this.#isCorked) return
    this.#isCorked = false
    this.#socket.uncork()
  }

  #writeFirst(): void {
    const first = this.#first
    if (first === null) return
    this.#first = null
    if (!this.#isOver && !this.#socket.writableEnded) this.#write(first)
  }

  #write(message: Uint8Array): void {
    this.#socket.write(message, this.#onWritten)
    if (this.#socket.writableLength > LOW_WATERMARK_BYTES) this.#wasHigh = true
  }

  readonly #onWritten = (): void => {
    if (!this.#wasHigh || this.#isOver || this.#socket.writableLength > LOW_WATERMARK_BYTES) return
    this.#wasHigh = false
    this.#reader.onDrain()
  }

  #gone(reason: string): void {
    if (this.#isOver) return
    // What came before the end still counts.
    if (this.#isPaused) {
      this.#endReason = reason
      return
    }
    this.#isOver = true
    this.#socket.destroy()
    this.#reader.onGone(reason)
  }

  #read(chunk: Buffer): void {
    this.#rest = null
    let at = 0
    while (at < chunk.length && !this.#isOver) {
      if (this.#isPaused) {
        this.#rest = chunk.subarray(at)
        return
      }
      if (this.#body !== null) {
        at += this.#fill(this.#body, chunk, at)
        continue
      }
      if (chunk.length - at < headerBytes) {
        this.#rest = chunk.subarray(at)
        return
      }
      const length = chunk.readUIntBE(at + 1, 3)
      const kind = chunk[at] as number
      at += headerBytes
      if (length > this.#reader.bytesMax) return this.#gone(`a message of ${length} bytes came`)
      if (chunk.length - at >= length) {
        this.#reader.onMessage(kind, new Uint8Array(chunk.buffer, chunk.byteOffset + at, length))
        at += length
      } else {
        this.#body = this.#reader.memory?.(length) ?? new Uint8Array(length)
        this.#bodyKind = kind
        this.#gotBytes = 0
      }
    }
  }

  #fill(body: Uint8Array, chunk: Buffer, from: number): number {
    const bytes = Math.min(body.length - this.#gotBytes, chunk.length - from)
    body.set(chunk.subarray(from, from + bytes), this.#gotBytes)
    this.#gotBytes += bytes
    if (this.#gotBytes === body.length) {
      this.#body = null
      this.#reader.onMessage(this.#bodyKind, body)
    }
    return bytes
  }
}
