import { sha256 } from '../membership/sha256.ts'

/** Threads that hash pieces; they last as long as the process, and do not keep it alive. */
export interface HashThreads {
  /** Pieces whose hash is being made. */
  readonly underWay: number
  /** Whether a thread runs. */
  readonly areUp: boolean
  /** The SHA-256 of a piece, which must stay as it is until then. While no thread runs it is made here. */
  digest(piece: Uint8Array): Promise<Uint8Array>
}

/** What is used of Node. Not imported: bundles for browsers have no such modules. */
interface NodeWorker {
  on(event: 'online' | 'error' | 'exit', listener: () => void): this
  on(event: 'message', listener: (place: number) => void): this
  postMessage(message: readonly [place: number, sizeBytes: number]): void
  ref(): void
  unref(): void
}

interface NodeModules {
  'node:worker_threads': { readonly Worker: new (source: string, options: object) => NodeWorker }
  'node:os': { availableParallelism(): number }
}

declare const setImmediate: (callback: () => void) => void

type GetModule = <K extends keyof NodeModules>(name: K) => NodeModules[K] | undefined

const hashBytes = 32
const threadsMax = 2
/** Pieces that a thread has before it: one that is hashed, and those that wait, so that it never does. */
const placesPerThread = 4

/** Reads a piece at its place in the shared memory, and writes its hash to the places of hashes behind them. */
const source = `
const { parentPort, workerData: { memory, placeBytes, places } } = require('node:worker_threads')
const { createHash } = require('node:crypto')
parentPort.on('message', ([place, sizeBytes]) => {
  const hash = createHash('sha256').update(new Uint8Array(memory, place * placeBytes, sizeBytes)).digest()
  new Uint8Array(memory, places * placeBytes + place * ${hashBytes}, ${hashBytes}).set(hash)
  parentPort.postMessage(place)
})
`

let started: HashThreads | null | undefined

/** The threads of this process, started when they are first needed. `null`: there can be none here. */
export function hashThreads(pieceBytesMax: number): HashThreads | null {
  if (started === undefined) started = start(pieceBytesMax)
  return started
}

/** Pieces whose hash is being made by {@link hashThreads}: tests with a clock of their own wait for them. */
export function hashesUnderWay(): number {
  return started?.underWay ?? 0
}

function start(pieceBytesMax: number): HashThreads | null {
  const { process } = globalThis as { process?: { getBuiltinModule?: GetModule } }
  const { Worker } = process?.getBuiltinModule?.('node:worker_threads') ?? {}
  const cores = process?.getBuiltinModule?.('node:os')?.availableParallelism() ?? 1
  if (Worker === undefined) return null
  try {
    const threads = Array.from({ length: Math.min(threadsMax, cores) }, () => startOne(Worker, pieceBytesMax))
    return createPool(threads)
  } catch {
    // A process that may start no threads hashes on its only one.
    return createPool([])
  }
}

function createPool(threads: readonly HashThread[]): HashThreads {
  let underWay = 0
  const waiting: { readonly piece: Uint8Array; resolve(hash: Uint8Array): void }[] = []

  function areUp(): boolean {
    return threads.some(({ isUp }) => isUp)
  }

  function freest(): HashThread | undefined {
    let best: HashThread | undefined
    for (const thread of threads) if (thread.free > (best?.free ?? 0)) best = thread
    return best
  }

  function settle(hash: Uint8Array, resolve: (hash: Uint8Array) => void): void {
    underWay--
    resolve(hash)
  }

  function pump(): void {
    while (waiting.length > 0) {
      const thread = freest()
      if (thread === undefined && areUp()) return
      const { piece, resolve } = waiting.shift() as (typeof waiting)[number]
      if (thread === undefined) settle(sha256(piece), resolve)
      else
        void thread.digest(piece).then((hash) => {
          settle(hash, resolve)
          pump()
        })
    }
  }

  return {
    get underWay() {
      return underWay
    },
    get areUp() {
      return areUp()
    },
    digest: (piece) =>
      new Promise((resolve) => {
        underWay++
        waiting.push({ piece, resolve })
        // A long row of pieces must let other things pass, the start of a thread among them: timers that are late do not.
        if (areUp()) pump()
        else setImmediate(pump)
      }),
  }
}

interface HashThread {
  readonly isUp: boolean
  /** Places that have no piece. */
  readonly free: number
  digest(piece: Uint8Array): Promise<Uint8Array>
}

function startOne(Worker: NodeModules['node:worker_threads']['Worker'], placeBytes: number): HashThread {
  const places = placesPerThread
  const memory = new SharedArrayBuffer(places * (placeBytes + hashBytes))
  const free = Array.from({ length: places }, (_, place) => place)
  const open = new Map<number, { readonly piece: Uint8Array; resolve(hash: Uint8Array): void }>()
  let isUp = false
  const worker = new Worker(source, {
    eval: true,
    execArgv: [],
    workerData: { memory, placeBytes, places },
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 },
  })
  worker.unref()

  function end(place: number, hash: Uint8Array): void {
    open.get(place)?.resolve(hash)
    open.delete(place)
    free.push(place)
    if (open.size === 0) worker.unref()
  }

  function gone(): void {
    isUp = false
    for (const [place, { piece }] of [...open]) end(place, sha256(piece))
  }

  worker
    .on('online', () => {
      isUp = true
    })
    .on('error', gone)
    .on('exit', gone)
    .on('message', (place) => {
      const from = places * placeBytes + place * hashBytes
      end(place, new Uint8Array(memory, from, hashBytes).slice())
    })
  return {
    get isUp() {
      return isUp
    },
    get free() {
      return isUp ? free.length : 0
    },
    digest(piece) {
      const place = free.pop() as number
      new Uint8Array(memory, place * placeBytes, piece.length).set(piece)
      if (open.size === 0) worker.ref()
      return new Promise((resolve) => {
        open.set(place, { piece, resolve })
        worker.postMessage([place, piece.length])
      })
    },
  }
}
