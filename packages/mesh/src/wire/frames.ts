import { ShoalError } from '@shoal/scheduler'

/** Version of the frames that this build speaks, and the oldest that it still reads. */
export const protocol = { min: 1, max: 1 } as const

/** What a frame is. Numbers are for ever: a retired one is never used again. */
export const frameTypes = {
  /** First on every control link: who I am. Body: see `membership/hello.ts`. */
  hello: 1,
  /** Second: the proof that I know the room's key and own mine. */
  proof: 2,
  /** Your frame was refused: `[code, message, epoch | null]`. */
  refused: 3,
  /** I leave for good: `[]`. */
  goodbye: 4,
  /** Are you there: `[sentAt]`. Answered by `heard` from the thread that runs the scheduler. */
  heartbeat: 5,
  /** I am here: `[sentAt]` of the heartbeat. */
  heard: 6,
  /** Can you reach this peer: `[peer]`. */
  probe: 7,
  /** The answer to `probe`: `[peer, isAlive]`. */
  probed: 8,
  /** Addresses that I am linked to: `[address, role, ...]`. */
  peers: 9,
  /** Scheduler messages: an array of them, see `wire/messages.ts`. */
  messages: 16,
  /** One message of the replicas: raw bytes. */
  replica: 17,
  /** Messages about services: as `messages`, but in order across both links. */
  services: 20,
  /** Please send an operation's code: `[request, hash]`. */
  wanted: 18,
  /** The answer to `wanted`: `[request, null | [name, source, exportName]]`. */
  operation: 19,
  /** Please send a piece of a chunk, or the hashes of all: `[request, chunk, hash, index | null, holder | null]`. */
  pieceWanted: 21,
  /** The answer to `pieceWanted`: the request (4 bytes), 1 and the bytes, or 0 when they are not here. */
  piece: 22,
  /** Over control: the bulk link with this token is mine: `[token, fingerprint | null, fingerprint | null]`. */
  bulkOpen: 32,
  /** First on every bulk link: the token, raw. */
  bulkHello: 33,
  /** Over bulk, or over control while no bulk link can be had: a piece of a large body; see `wire/chunks.ts`. */
  chunk: 34,
  /** Over the link of the chunks: `[bytesTaken, lastTransferTaken]`, the bytes counted from its start. */
  credit: 35,
} as const

export type FrameType = (typeof frameTypes)[keyof typeof frameTypes]

/** A frame taken apart. `body` is a view of the received message. */
export interface Frame {
  readonly type: FrameType
  /** Counts the frames of one direction of one link from 0, modulo 2^32. */
  readonly seq: number
  readonly body: Uint8Array
}

/** Bytes in front of each body: version, type, sequence. */
export const frameHeaderBytes = 6

const knownTypes: ReadonlySet<number> = new Set(Object.values(frameTypes))

/** Builds a frame: 1 byte version, 1 byte type, 4 bytes sequence (big endian), body. */
export function encodeFrame(type: FrameType, seq: number, body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(frameHeaderBytes + body.length)
  frame.set(body, frameHeaderBytes)
  return writeFrameHeader(frame, type, seq)
}

/** Completes a frame whose body is there, behind room for the header. */
export function writeFrameHeader(frame: Uint8Array, type: FrameType, seq: number): Uint8Array {
  frame[0] = protocol.max
  frame[1] = type
  writeUint32(frame, 2, seq)
  return frame
}

/**
 * Reads the header of a frame. The sequence is given even when the type is refused, so that the
 * caller can count it: see {@link readSeq}.
 * @throws ShoalError `E_FRAME` (no frame at all), `E_TOO_LARGE`, `E_VERSION`, `E_TYPE`
 */
export function decodeFrame(message: unknown, bytesMax: number): Frame {
  const bytes = checkFrame(message, bytesMax)
  const type = bytes[1] as number
  if (!knownTypes.has(type)) {
    throw new ShoalError('E_TYPE', `Cannot read a frame as its type is not known: current value is ${type}`)
  }
  return { type: type as FrameType, seq: readUint32(bytes, 2), body: bytes.subarray(frameHeaderBytes) }
}

/** The sequence of a frame whose header can be read, or `null`. */
export function readSeq(message: unknown): number | null {
  if (!(message instanceof Uint8Array) || message.length < frameHeaderBytes) return null
  const version = message[0] as number
  return version < protocol.min || version > protocol.max ? null : readUint32(message, 2)
}

export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

export function readUint32(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] as number) << 8) | (bytes[at + 1] as number)
  const low = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)
  return ((high << 16) | low) >>> 0
}

function checkFrame(message: unknown, bytesMax: number): Uint8Array {
  if (!(message instanceof Uint8Array)) {
    throw new ShoalError(
      'E_FRAME',
      `Cannot read a frame as it must be bytes: current value is ${typeof message}`,
    )
  }
  if (message.length > bytesMax) {
    throw new ShoalError(
      'E_TOO_LARGE',
      `Cannot read a frame as its size in bytes must be at most ${bytesMax}: current value is ${message.length}`,
    )
  }
  if (message.length < frameHeaderBytes) {
    throw new ShoalError(
      'E_FRAME',
      `Cannot read a frame as its size in bytes must be at least ${frameHeaderBytes}: current value is ${message.length}`,
    )
  }
  const version = message[0] as number
  if (version < protocol.min || version > protocol.max) {
    throw new ShoalError(
      'E_VERSION',
      `Cannot read a frame as its version must be ${protocol.min} to ${protocol.max}: current value is ${version}`,
    )
  }
  return message
}
