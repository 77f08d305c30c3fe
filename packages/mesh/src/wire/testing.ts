import type { Link } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import type { TestClock } from '../membership/testing.ts'
import { createLinkPair } from '../transport/memory.ts'
import { type Bulk, createBulk } from './bulk.ts'
import { type BulkDoor, createBulkDoor } from './bulk-door.ts'
import { type Budget, createBudget, cutChunk, joinChunk } from './chunks.ts'
import { type FrameType, frameHeaderBytes, frameTypes } from './frames.ts'
import { createPipe, type Pipe } from './pipe.ts'

const ignore = (): void => {}

export function bodyOf(length: number, seed = 1): Uint8Array {
  return new Uint8Array(length).map((_, at) => (at * seed) % 253)
}

/** One side of {@link createEnds}. */
export interface BulkEnd {
  readonly bulk: Bulk
  readonly got: Uint8Array[]
  readonly codes: string[]
  /** Types of bodies that were given up. */
  readonly lost: number[]
  readonly control: Pipe
  /** When they arrived over the control link. */
  readonly heartbeats: number[]
}

export interface EndsOptions {
  /** Of the right end. */
  readonly budget?: Budget
  readonly isBound?: boolean
  readonly onGot?: (count: number) => void
  /** Both ends of each bulk link, as they shall be. */
  readonly wrap?: (link: Link) => Link
  /** Asked at each dial. */
  readonly canDial?: () => boolean
  readonly isOnline?: () => boolean
  /** Of the control link, towards the right end; unlimited by default. */
  readonly controlBytesPerMs?: number
}

export interface Ends {
  readonly left: BulkEnd
  readonly right: BulkEnd
  readonly doors: { readonly left: BulkDoor; readonly right: BulkDoor }
  /** The diallers' ends of all bulk links so far. */
  readonly links: readonly Link[]
  /** Chunks that were sent. */
  readonly chunks: { control: number; bulk: number }
}

/** Two ends with a control link between them, whose dials meet at doors, as in a room. */
export function createEnds(clock: TestClock, options: EndsOptions = {}): Ends {
  const links: Link[] = []
  const chunks = { control: 0, bulk: 0 }
  const [nearControl, farControl] = createLinkPair(clock, 'control', 'left', 'right', ignore)
  const slow =
    options.controlBytesPerMs === undefined
      ? nearControl
      : slowed(clock, nearControl, options.controlBytesPerMs)
  const left = createEnd('left', 'right', counted(slow))
  const right = createEnd('right', 'left', counted(farControl))
  const doors = {
    left: createBulkDoor({ clock, onRefused: (error) => left.codes.push(error.code) }),
    right: createBulkDoor({ clock, onRefused: (error) => right.codes.push(error.code) }),
  }

  function counted(link: Link): Link {
    return changed(link, (message) => {
      if (message[1] === frameTypes.chunk) chunks[link.channel]++
      link.send(message)
    })
  }

  function createEnd(name: 'left' | 'right', other: 'left' | 'right', link: Link): BulkEnd {
    const got: Uint8Array[] = []
    const codes: string[] = []
    const lost: number[] = []
    const heartbeats: number[] = []
    const reader = {
      bytesMax: limits.controlBytesMax,
      framesPerS: limits.memberFramesPerS,
      onFrame(type: number, body: Uint8Array) {
        if (type === frameTypes.heartbeat) heartbeats.push(clock.now())
        else bulk.onControlFrame(type as typeof frameTypes.chunk, body)
      },
    }
    const control = createPipe({ link, clock, reader, onRefused: (error) => codes.push(error.code) })
    const bulk: Bulk = createBulk({
      clock,
      control,
      isOnline: options.isOnline ?? (() => true),
      budget: name === 'right' && options.budget ? options.budget : createBudget(),
      dial: async () => {
        if (options.canDial?.() === false) throw new Error('nobody answers')
        const [near, far] = createLinkPair(clock, 'bulk', name, other, ignore)
        links.push(near)
        const wrap = options.wrap ?? ((link: Link) => link)
        doors[other].onLink(counted(wrap(far)))
        return counted(wrap(near))
      },
      announce: (token) => {
        const fingerprint = options.isBound === false ? 'AA' : null
        doors[other].onTicket(
          { token, localFingerprint: fingerprint, remoteFingerprint: null },
          other === 'left' ? left.bulk : right.bulk,
        )
      },
      random: (length) => crypto.getRandomValues(new Uint8Array(length)),
      deliver: (_type, body) => {
        got.push(body)
        options.onGot?.(got.length)
      },
      onRefused: (error) => codes.push(error.code),
      onLost: (type) => lost.push(type),
      onMeasured: ignore,
      onLife: ignore,
    })
    return { bulk, got, codes, lost, control, heartbeats }
  }
  return { left, right, links, doors, chunks }
}

function changed(link: Link, send: (message: Uint8Array) => void, extra: PropertyDescriptorMap = {}): Link {
  return Object.create(link, { send: { value: send }, ...extra }) as Link
}

/** Sends as a thin cable does: what it has not sent yet is buffered, and it tells when that is little. */
function slowed(clock: TestClock, link: Link, bytesPerMs: number): Link {
  const drains: (() => void)[] = []
  let freeAt = clock.now()
  let queuedBytes = 0
  const send = (message: Uint8Array): void => {
    const copy = message.slice()
    queuedBytes += copy.length
    freeAt = Math.max(freeAt, clock.now()) + copy.length / bytesPerMs
    clock.setTimer(freeAt, () => {
      const before = queuedBytes
      queuedBytes -= copy.length
      link.send(copy)
      if (before > 65_536 && queuedBytes <= 65_536) for (const drained of drains) drained()
    })
  }
  return changed(link, send, {
    bufferedBytes: { get: () => queuedBytes },
    onDrain: { value: (listener: () => void) => void drains.push(listener) },
  })
}

/** The body of the chunk frame that carries what of `whole` starts at `from`. */
export function chunkOf(transfer: number, type: FrameType, whole: Uint8Array, from: number): Uint8Array {
  const body = { head: new Uint8Array(0), rest: whole }
  const memory = new Uint8Array(limits.chunkFrameBytes)
  return joinChunk(cutChunk({ id: transfer, type, body }, from, memory.length), memory).slice(
    frameHeaderBytes,
  )
}
