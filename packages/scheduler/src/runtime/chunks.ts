import type { SchedulerConfig } from '../core/config.ts'
import type { Call, EffectOf } from '../core/effects.ts'
import type { CallEnded, Event } from '../core/events.ts'
import { type ChunkId, ChunkPayload, chunkId, homeOf, innerChunks } from '../model/chunk.ts'
import { type ErrorRecord, errorRecord, ShoalError } from '../model/errors.ts'
import type { PeerId, TaskRef } from '../model/ids.ts'
import type { SliceItem } from '../model/message.ts'
import { PackedPayload, type Payload } from '../model/payload.ts'
import type { ChunkStats, ChunkStore, Clock, StopSignal } from '../ports.ts'

/** The part of a runtime that speaks of chunks. */
export interface RuntimeChunks {
  /**
   * Keeps packed bytes on this peer, and the chunks whose handles lie in them. The result counts as one handle until
   * it is released.
   * @throws ShoalError `E_QUOTA`
   */
  put(bytes: Uint8Array, inner?: readonly ChunkPayload[]): Promise<ChunkPayload>
  /** A handle to the chunk was made here: as many releases as openings let it go. */
  open(chunk: ChunkPayload): void
  release(id: ChunkId): void
  /**
   * The packed bytes, from here or from a holder; made again first when no copy is left.
   * @throws ShoalError `E_CHUNK_LOST`, `E_HASH`, `E_CHUNK_REF`, `E_CLOSED`; the signal's reason
   */
  fetch(chunk: ChunkPayload, signal?: StopSignal): Promise<Uint8Array>
  /** This peer leaves: resolves when those who need what only it has have it. May never do so. */
  leave(): Promise<void>
  /** Arguments and results above this many packed bytes become chunks. */
  readonly fromBytes: number
  readonly stats: ChunkStats
}

type ChunkEffect = EffectOf<
  'gather' | 'stop-gather' | 'drop-chunk' | 'chunk-located' | 'fetch-chunk' | 'chunks-left'
>

/** Turns effects about chunks into the store's work, and the store's word into events. */
export interface ChunkDesk {
  readonly chunks: RuntimeChunks
  perform(effect: ChunkEffect): void
  /** The calls with the bytes of their chunks in place. */
  feed(calls: readonly Call[]): readonly Call[]
  /** Results with the big ones put away: at once, or once that is done. */
  keep(ended: readonly CallEnded[]): readonly CallEnded[] | Promise<readonly CallEnded[]>
  close(): void
}

export interface ChunkDeskParts {
  readonly self: PeerId
  readonly epoch: number
  readonly store: ChunkStore
  readonly clock: Clock
  readonly config: SchedulerConfig
  /** The task and the chunk to make again of a call that runs. */
  callOf(callId: number): Call | undefined
  enqueue(event: Event): void
}

/** What a call waits for or has. */
interface Gathered {
  readonly bytes: Map<ChunkId, Uint8Array>
}

interface Ask {
  resolve(holders: readonly PeerId[]): void
  reject(error: unknown): void
}

export function createChunkDesk(parts: ChunkDeskParts): ChunkDesk {
  const { store, clock, config, enqueue } = parts
  const keeper = createKeeper(parts)
  const gatherer = createGatherer(parts)
  const finder = createFinder(parts)
  const leaving: (() => void)[] = []
  const stopHeld = store.onHeld((chunk, isHeld) =>
    enqueue({ type: 'chunk-stored', at: clock.now(), chunk, isHeld }),
  )

  return {
    chunks: {
      fromBytes: config.chunkFromBytes,
      get stats() {
        return store.stats
      },
      async put(bytes, inner) {
        const chunk = await keeper.put(bytes, inner)
        enqueue({ type: 'chunk-opened', at: clock.now(), chunk })
        return chunk
      },
      open: (chunk) => enqueue({ type: 'chunk-opened', at: clock.now(), chunk }),
      release: (chunk) => enqueue({ type: 'chunk-released', at: clock.now(), chunk }),
      fetch: finder.fetch,
      leave: () =>
        new Promise((resolve) => {
          leaving.push(resolve)
          enqueue({ type: 'chunks-leaving', at: clock.now() })
        }),
    },
    perform(effect) {
      switch (effect.type) {
        case 'gather':
          gatherer.gather(effect)
          return
        case 'stop-gather':
          gatherer.stop(effect.callId)
          return
        case 'drop-chunk':
          store.drop(effect.chunk)
          return
        case 'chunk-located':
          finder.located(effect)
          return
        case 'fetch-chunk':
          // What does not come is lost with the peer that offered it: whoever needs it is told then.
          finder.fetch(effect.chunk).catch(() => {})
          return
        case 'chunks-left':
          for (const resolve of leaving.splice(0)) resolve()
      }
    },
    feed: gatherer.feed,
    keep: keeper.keep,
    close() {
      stopHeld()
      finder.close()
    },
  }
}

interface Keeper extends Pick<ChunkDesk, 'keep'> {
  put(bytes: Uint8Array, inner?: readonly ChunkPayload[]): Promise<ChunkPayload>
}

/** Makes chunks of what users put and of big results. */
function createKeeper({ self, epoch, store, config, callOf }: ChunkDeskParts): Keeper {
  let made = 0

  async function put(
    id: ChunkId,
    bytes: Uint8Array,
    task: TaskRef | null,
    inner?: readonly ChunkPayload[],
  ): Promise<ChunkPayload> {
    const ref = await store.put(id, bytes)
    return new ChunkPayload({ ...ref, home: homeOf(id) ?? self }, task, [self], inner)
  }

  async function keepOne(one: CallEnded): Promise<CallEnded> {
    const { outcome } = one
    const call = callOf(one.callId)
    if (!isAnyBig(outcome) || call === undefined) return one
    if (outcome.status === 'done') return { ...one, outcome: await keepValue(outcome, call, call.no) }
    const apart = outcome.apart.map(async (item) => ({
      ...item,
      outcome: await keepValue(item.outcome, call, call.no + item.index),
    }))
    return { ...one, outcome: { ...outcome, apart: await Promise.all(apart) } }
  }

  async function keepValue(outcome: SliceItem['outcome'], call: Call, no: number): Promise<typeof outcome> {
    if (outcome.status !== 'done' || !isBig(outcome.value)) return outcome
    const id = call.remakes ?? chunkId(self, epoch, made++)
    const { bytes } = outcome.value
    try {
      return {
        status: 'done',
        value: await put(id, bytes, { job: call.job, no }, innerChunks(outcome.value)),
      }
    } catch (error) {
      return { status: 'failed', error: recordOf(error) }
    }
  }

  const isBig = (value: Payload): value is PackedPayload =>
    value instanceof PackedPayload && value.bytes.length > config.chunkFromBytes
  const isAnyBig = (
    outcome: CallEnded['outcome'],
  ): outcome is Extract<CallEnded['outcome'], { readonly status: 'done' | 'sliced' }> =>
    outcome.status === 'sliced'
      ? outcome.apart.some((item) => isAnyBig(item.outcome))
      : outcome.status === 'done' && isBig(outcome.value)

  return {
    put: (bytes, inner) => put(chunkId(self, epoch, made++), bytes, null, inner),
    keep: (ended) =>
      ended.some(({ outcome }) => isAnyBig(outcome)) ? Promise.all(ended.map(keepOne)) : ended,
  }
}

interface Gatherer {
  gather(effect: EffectOf<'gather'>): void
  stop(callId: number): void
}

interface Finder extends Pick<RuntimeChunks, 'fetch'> {
  located(effect: EffectOf<'chunk-located'>): void
  close(): void
}

/** Brings the chunks of calls to come. */
function createGatherer({ self, store, clock, enqueue }: ChunkDeskParts): Pick<ChunkDesk, 'feed'> & Gatherer {
  const gathered = new Map<number, Gathered>()

  async function bring({ bytes }: Gathered, chunks: readonly ChunkPayload[]): Promise<void> {
    await Promise.all(
      chunks.map(async ({ ref, holders }) => {
        const others = holders.filter((holder) => holder !== self)
        bytes.set(ref.id, await store.fetch(ref, others))
      }),
    )
  }

  return {
    gather({ callId, chunks }) {
      const entry: Gathered = { bytes: new Map() }
      gathered.set(callId, entry)
      const tell = (error: ErrorRecord | null): void => {
        enqueue({ type: 'chunks-gathered', at: clock.now(), callId, error })
      }
      bring(entry, chunks).then(
        () => tell(null),
        (error) => tell(recordOf(error)),
      )
    },
    stop(callId) {
      gathered.delete(callId)
    },
    feed(calls) {
      if (gathered.size === 0) return calls
      return calls.map((call) => {
        const entry = gathered.get(call.callId)
        gathered.delete(call.callId)
        return entry === undefined ? call : fedCall(call, entry.bytes)
      })
    },
  }
}

/** Finds chunks for those who have handles. */
function createFinder({ self, store, clock, config, enqueue }: ChunkDeskParts): Finder {
  const asks = new Map<ChunkId, Ask[]>()
  let isClosed = false

  function locate(chunk: ChunkPayload, isAgain: boolean): Promise<readonly PeerId[]> {
    return new Promise((resolve, reject) => {
      const waiting = asks.get(chunk.ref.id)
      if (waiting === undefined) asks.set(chunk.ref.id, [{ resolve, reject }])
      else waiting.push({ resolve, reject })
      enqueue({ type: 'chunk-asked', at: clock.now(), chunk, isAgain })
    })
  }

  async function search(chunk: ChunkPayload, signal: StopSignal | undefined): Promise<Uint8Array> {
    for (let tries = 1; ; tries++) {
      if (isClosed) throw closed()
      if (store.has(chunk.ref.id)) return store.fetch(chunk.ref, [], signal)
      const holders = await locate(chunk, tries > 1)
      const others = holders.filter((holder) => holder !== self)
      try {
        return await store.fetch(chunk.ref, others, signal)
      } catch (error) {
        const isLost = error instanceof ShoalError && error.code === 'E_CHUNK_LOST'
        if (!isLost || tries >= config.unfedMax) throw error
      }
      // The holder may be dead and not known to be.
      await new Promise<void>((resolve) => clock.setTimer(clock.now() + config.unfedPauseMs, resolve))
    }
  }

  return {
    async fetch(chunk, signal) {
      if (isClosed) throw closed()
      // A handle for as long as it takes: what arrives must not be dropped at once.
      enqueue({ type: 'chunk-opened', at: clock.now(), chunk })
      try {
        return await search(chunk, signal)
      } finally {
        enqueue({ type: 'chunk-released', at: clock.now(), chunk: chunk.ref.id })
      }
    },
    located({ chunk, holders, error }) {
      const waiting = asks.get(chunk) ?? []
      asks.delete(chunk)
      for (const ask of waiting) {
        if (error === null) ask.resolve(holders)
        else ask.reject(errorOf(error))
      }
    },
    close() {
      isClosed = true
      for (const waiting of asks.values()) for (const ask of waiting) ask.reject(closed())
      asks.clear()
    },
  }
}

function fedCall(call: Call, bytes: ReadonlyMap<ChunkId, Uint8Array>): Call {
  const filled = (payload: Payload): Payload => {
    const found = payload instanceof ChunkPayload ? bytes.get(payload.ref.id) : undefined
    return found === undefined ? payload : new PackedPayload(found)
  }
  const inputs = call.inputs.map(({ index, value }) => ({ index, value: filled(value) }))
  return { ...call, args: filled(call.args), inputs }
}

/** The plain form of what a store threw. */
export function recordOf(error: unknown): ErrorRecord {
  if (error instanceof ShoalError) return errorRecord(error.code, error.message)
  return errorRecord('E_CHUNK_LOST', error instanceof Error ? error.message : String(error))
}

function errorOf(record: ErrorRecord): ShoalError {
  const cause = record.cause === null ? undefined : errorOf(record.cause)
  return new ShoalError(record.code ?? 'E_CHUNK_LOST', record.message, { cause })
}

function closed(): ShoalError {
  return new ShoalError('E_CLOSED', 'Cannot get a chunk as the mesh must be open: current value is closed')
}
