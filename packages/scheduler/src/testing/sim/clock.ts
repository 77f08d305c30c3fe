import type { Clock } from '../../ports.ts'

/** Whether what belongs to one start of one peer may run at present. */
export interface Gate {
  /** Number of the peer, for logs. */
  readonly peer: number
  state: 'running' | 'paused' | 'dead'
  /** What came due while the peer was paused: all of it runs on return. */
  readonly backlog: SimEvent[]
  /** Timers of this start that are set and have not run. */
  timers: number
}

export interface SimEvent {
  readonly atMs: number
  readonly order: number
  readonly gate: Gate | null
  /** `null` once cancelled or run. */
  run: (() => void) | null
}

/** Virtual time and the queue of everything that will happen, by (time, order of scheduling). */
export interface SimLoop {
  now(): number
  /** Events run so far. */
  readonly count: number
  /** Runs `run` at `atMs` or now, if later; the result cancels it. `gate` null: the world itself. */
  at(atMs: number, gate: Gate | null, run: () => void): () => void
  /** Runs `run` at the end of the present turn. */
  defer(gate: Gate, run: () => void): void
  /** Runs one event and what it deferred; `false` when nothing is left. */
  runNext(): boolean
  /** Time of the next event, or infinity. */
  nextAt(): number
  /** Lets a paused gate go on: everything that waited runs at this time, in order. */
  resume(gate: Gate): void
}

/** All virtual times are multiples of this, so that arithmetic on them is exact. */
const tickMs = 1 / 64

export function createGate(peer: number): Gate {
  return { peer, state: 'running', backlog: [], timers: 0 }
}

/**
 * @param onThrow told of whatever an event threw; the loop goes on
 */
export function createLoop(onThrow: (error: unknown, gate: Gate | null) => void): SimLoop {
  const heap: SimEvent[] = []
  let deferred: { readonly gate: Gate; readonly run: () => void }[] = []
  let time = 0
  let order = 0
  let count = 0
  const call = (gate: Gate | null, run: () => void): void => {
    try {
      run()
    } catch (error) {
      onThrow(error, gate)
    }
  }
  const drain = (): void => {
    while (deferred.length > 0) {
      const batch = deferred
      deferred = []
      for (const { gate, run } of batch) {
        if (gate.state === 'running') call(gate, run)
        else if (gate.state === 'paused') gate.backlog.push({ atMs: time, order: order++, gate, run })
      }
    }
  }
  const at = (atMs: number, gate: Gate | null, run: () => void): (() => void) => {
    const event: SimEvent = {
      atMs: Math.max(time, Math.ceil(atMs / tickMs) * tickMs),
      order: order++,
      gate,
      run,
    }
    push(heap, event)
    return () => {
      event.run = null
    }
  }
  return {
    now: () => time,
    get count() {
      return count
    },
    at,
    defer(gate, run) {
      deferred.push({ gate, run })
    },
    runNext() {
      drain()
      const event = pop(heap)
      if (event === undefined) return false
      time = event.atMs
      const { gate, run } = event
      if (run === null || gate?.state === 'dead') return true
      if (gate?.state === 'paused') {
        gate.backlog.push(event)
        return true
      }
      count++
      event.run = null
      call(gate, run)
      drain()
      return true
    },
    nextAt: () => heap[0]?.atMs ?? Number.POSITIVE_INFINITY,
    resume(gate) {
      gate.state = 'running'
      for (const event of gate.backlog.splice(0)) {
        at(time, gate, () => {
          const { run } = event
          event.run = null
          run?.()
        })
      }
    },
  }
}

/** A peer's own clock: another origin, and a slightly other speed, than the world's. */
export function createPeerClock(loop: SimLoop, gate: Gate, offsetMs: number, rate: number): Clock {
  const local = (worldMs: number): number => offsetMs + worldMs * rate
  return {
    now: () => local(loop.now()),
    setTimer(atMs, callback) {
      let worldMs = Math.max(loop.now(), Math.ceil((atMs - offsetMs) / rate / tickMs) * tickMs)
      while (local(worldMs) < atMs) worldMs += tickMs
      let isSet = true
      gate.timers++
      const release = (): void => {
        if (isSet) gate.timers--
        isSet = false
      }
      const cancel = loop.at(worldMs, gate, () => {
        release()
        callback()
      })
      return () => {
        release()
        cancel()
      }
    },
    defer: (callback) => loop.defer(gate, callback),
  }
}

function isBefore(left: SimEvent, right: SimEvent): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order)
}

function push(heap: SimEvent[], event: SimEvent): void {
  let index = heap.length
  heap.push(event)
  while (index > 0) {
    const parent = (index - 1) >> 1
    const above = heap[parent] as SimEvent
    if (!isBefore(event, above)) break
    heap[index] = above
    index = parent
  }
  heap[index] = event
}

function pop(heap: SimEvent[]): SimEvent | undefined {
  const first = heap[0]
  const last = heap.pop()
  if (first === undefined || last === undefined || heap.length === 0) return first
  let index = 0
  for (;;) {
    let child = 2 * index + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && isBefore(heap[child + 1] as SimEvent, heap[child] as SimEvent)) child++
    if (!isBefore(heap[child] as SimEvent, last)) break
    heap[index] = heap[child] as SimEvent
    index = child
  }
  heap[index] = last
  return first
}
