import {
  type AttemptRef,
  type BodyRequest,
  type Call,
  type CallEnded,
  defaultTaskOptions,
  errorRecord,
  noNeeds,
  type Outcome,
  type Payload,
  type PeerId,
  type ProcessorHost,
  type ProcessorId,
  type ProcessorRecord,
  type RangeItems,
  type SliceItem,
  type SpawnRequest,
  type TaskRef,
} from '../../index.ts'
import type { Gate, SimLoop } from './clock.ts'
import {
  childPrograms,
  failsAlways,
  numberOf,
  packProgram,
  packValue,
  packValues,
  resultOf,
  type SimProgram,
  simOperation,
  unpackProgram,
} from './program.ts'
import type { SimRng } from './rng.ts'

/** What the checks and the world want to know of bodies. */
export interface HostProbe {
  /** A body starts; the result is the number of this execution over the whole world. */
  started(peer: number, call: Call): number
  /** How many executions of a task threw before; counts this one when `isThrowing`. */
  failures(ref: TaskRef, isThrowing: boolean): number
  ended(peer: number, ended: readonly CallEnded[]): void
  /** A body tries to kill its peer; `false`: that one cannot die, only the processor does. */
  killed(peer: number): boolean
  /** A processor died. */
  processorDied(peer: number, running: readonly Call[]): void
}

/** The processors of one start of one peer, and what a world can do to them. */
export interface SimHost extends ProcessorHost {
  /** Kills what runs on one processor; a fresh one takes its place. */
  killProcessor(index: number): void
  /** Multiplies run times: a slow or busy machine. */
  slowness: number
}

interface Running {
  readonly call: Call
  readonly program: SimProgram
  readonly stamp: number
  readonly startedAtMs: number
  isOver: boolean
  isYielding: boolean
  /** What the body waits for: numbers of children, then their outcomes, by `seq`. */
  childNos: (number | null)[]
  childOutcomes: (Outcome | null)[]
}

interface Lane {
  readonly record: ProcessorRecord
  queue: Call[]
  running: Running[]
}

export function createSimHost(
  peer: { readonly index: number; readonly id: PeerId },
  processors: readonly ProcessorRecord[],
  loop: SimLoop,
  gate: Gate,
  rng: SimRng,
  probe: HostProbe,
): SimHost {
  const lanes: Lane[] = processors.map((record) => ({ record, queue: [], running: [] }))
  const endedListeners = new Set<(ended: readonly CallEnded[]) => void>()
  const bodyListeners = new Set<(request: BodyRequest) => void>()
  let pending: CallEnded[] = []
  let isClosed = false

  const ask = (request: BodyRequest): void => {
    for (const listener of [...bodyListeners]) listener(request)
  }
  const report = (callId: number, outcome: CallEnded['outcome'], ranMs: number): void => {
    pending.push({ callId, outcome, ranMs })
    if (pending.length > 1) return
    // Results go back in batches.
    loop.at(loop.now() + (rng.chance(0.5) ? 0 : rng.between(0, 5)), gate, () => {
      const ended = pending
      pending = []
      if (isClosed) return
      probe.ended(peer.index, ended)
      for (const listener of [...endedListeners]) listener(ended)
    })
  }
  const finish = (lane: Lane, run: Running, outcome: CallEnded['outcome']): void => {
    if (run.isOver) return
    run.isOver = true
    lane.running = lane.running.filter((other) => other !== run)
    report(run.call.callId, outcome, loop.now() - run.startedAtMs)
    next(lane)
  }
  const failed = (call: Call, code: string, message: string): Outcome => ({
    status: 'failed',
    error: errorRecord(code, message),
    origin: { job: call.job, no: call.no },
    attempts: 1,
    peer: peer.id,
  })
  const killLane = (lane: Lane): void => {
    const { queue, running } = lane
    lane.queue = []
    lane.running = []
    if (running.length > 0) {
      probe.processorDied(
        peer.index,
        running.filter((run) => !run.isYielding).map((run) => run.call),
      )
    }
    for (const run of running) {
      run.isOver = true
      report(run.call.callId, { status: 'lost' }, loop.now() - run.startedAtMs)
    }
    for (const call of queue) report(call.callId, { status: 'refused' }, 0)
  }
  const isThrowing = ({ job, no }: Call, { failTimes }: SimProgram): boolean => {
    const isBad = failTimes === failsAlways || probe.failures({ job, no }, false) < failTimes
    if (isBad) probe.failures({ job, no }, true)
    return isBad
  }
  const complete = (lane: Lane, run: Running): void => {
    const { call, program } = run
    if (run.isOver) return
    if (isThrowing(call, program)) {
      finish(lane, run, failed(call, 'E_BODY', `body ${program.seed} threw`))
      return
    }
    const children: number[] = []
    for (const outcome of run.childOutcomes) {
      if (outcome?.status !== 'done') {
        finish(lane, run, failed(call, 'E_CHILD', `child ${outcome?.status}`))
        return
      }
      children.push(numberOf(outcome.value))
    }
    const inputs = [...call.inputs].sort((left, right) => left.index - right.index)
    const number = resultOf(
      program,
      inputs.map((input) => numberOf(input.value)),
      children,
    )
    finish(lane, run, { status: 'done', value: packValue(number, run.stamp, program.kib) })
  }
  const spawnChildren = (run: Running): void => {
    const programs = childPrograms(run.program)
    run.childNos = programs.map(() => null)
    run.childOutcomes = programs.map(() => null)
    const requests: SpawnRequest[] = programs.map((program, seq) => ({
      seq,
      operation: simOperation,
      args: packProgram(program),
      needs: noNeeds,
      options: defaultTaskOptions,
    }))
    const parent: AttemptRef = { no: run.call.no, attempt: run.call.attempt }
    ask({ type: 'spawn', job: run.call.job, parent, requests })
  }
  const newRun = (call: Call, program: SimProgram, stamp: number): Running => ({
    call,
    program,
    stamp,
    startedAtMs: loop.now(),
    isOver: false,
    isYielding: false,
    childNos: [],
    childOutcomes: [],
  })
  const start = (lane: Lane, call: Call): void => {
    const program = unpackProgram(call.args)
    const stamp = probe.started(peer.index, call)
    const run = newRun(call, program, stamp)
    lane.running.push(run)
    const runMs = program.runMs * host.slowness * rng.between(0.5, 1.5)
    if (call.timeoutMs > 0) {
      loop.at(loop.now() + call.timeoutMs, gate, () => {
        if (run.isOver) return
        finish(lane, run, failed(call, 'E_TASK_TIMEOUT', `ran ${call.timeoutMs} ms`))
        killLane(lane)
      })
    }
    if (program.kills !== 'nothing') {
      loop.at(loop.now() + runMs / 2, gate, () => {
        if (run.isOver) return
        if (program.kills !== 'peer' || !probe.killed(peer.index)) killLane(lane)
      })
      return
    }
    loop.at(loop.now() + runMs, gate, () => {
      if (run.isOver) return
      if (program.children > 0) spawnChildren(run)
      else complete(lane, run)
    })
  }
  /** Runs the items of a slice one after the other; sometimes it gives back those that have not started. */
  const startSlice = (lane: Lane, call: Call, items: RangeItems): void => {
    const run = newRun(call, unpackProgram(items.at(0)), 0)
    lane.running.push(run)
    const values: Payload[] = []
    const apart: SliceItem[] = []
    const runItem = (): void => {
      if (run.isOver) return
      const index = values.length
      if (index === items.count || (index > 0 && rng.chance(0.1))) {
        finish(lane, run, { status: 'sliced', values: packValues(values), apart })
        return
      }
      const item = { ...call, no: call.no + index, args: items.at(index), items: null }
      const program = unpackProgram(item.args)
      const stamp = probe.started(peer.index, item)
      loop.at(loop.now() + program.runMs * host.slowness * rng.between(0.5, 1.5), gate, () => {
        if (run.isOver) return
        if (program.kills !== 'nothing') {
          if (program.kills !== 'peer' || !probe.killed(peer.index)) killLane(lane)
          return
        }
        if (isThrowing(item, program)) {
          const error = errorRecord('E_BODY', `body ${program.seed} threw`)
          apart.push({ index, outcome: { status: 'failed', error } })
        }
        const value = packValue(resultOf(program, [], []), stamp, program.kib)
        if (program.kib && !apart.some((other) => other.index === index))
          apart.push({ index, outcome: { status: 'done', value } })
        values.push(program.kib ? packValue(0, stamp) : value)
        runItem()
      })
    }
    runItem()
  }
  const next = (lane: Lane): void => {
    while (lane.queue.length > 0 && !lane.running.some((run) => !run.isYielding)) {
      const call = lane.queue.shift() as Call
      if (call.items === null) start(lane, call)
      else startSlice(lane, call, call.items)
    }
  }
  const stop = (lane: Lane, callId: number): void => {
    const queued = lane.queue.findIndex((call) => call.callId === callId)
    if (queued >= 0) {
      lane.queue.splice(queued, 1)
      report(callId, { status: 'cancelled', reason: 'aborted' }, 0)
      return
    }
    const run = lane.running.find((other) => other.call.callId === callId)
    if (run === undefined) return
    loop.at(loop.now() + rng.between(0, 50), gate, () => {
      if (run.isOver) return
      finish(lane, run, { status: 'cancelled', reason: 'aborted' })
      // The body had to be stopped with its processor.
      if (rng.chance(0.5)) killLane(lane)
    })
  }
  const laneOf = (processor: ProcessorId): Lane | undefined =>
    lanes.find((lane) => lane.record.id === processor)

  const host: SimHost = {
    slowness: 1,
    processors,
    execute(processor, calls) {
      const lane = laneOf(processor)
      if (lane === undefined) {
        for (const call of calls) report(call.callId, { status: 'refused' }, 0)
        return
      }
      lane.queue.push(...calls)
      next(lane)
    },
    abort(processor, callIds) {
      const lane = laneOf(processor)
      if (lane !== undefined) for (const callId of callIds) stop(lane, callId)
    },
    onEnded: (listener) => subscribe(endedListeners, listener),
    onProcessors: () => () => {},
    onBody: (listener) => subscribe(bodyListeners, listener),
    childrenAccepted(job, parent, accepted) {
      for (const lane of lanes) {
        const run = lane.running.find(
          ({ call }) => call.job === job && call.no === parent.no && call.attempt === parent.attempt,
        )
        if (run === undefined) continue
        for (const { seq, no } of accepted) run.childNos[seq] = no
        if (run.isYielding || run.childNos.some((no) => no === null)) continue
        run.isYielding = true
        const refs = run.childNos.map((no) => ({ job, no: no as number }))
        loop.at(loop.now(), gate, () => {
          if (run.isOver) return
          ask({ type: 'watch', refs })
          ask({ type: 'yield', callId: run.call.callId })
          next(lane)
        })
      }
    },
    taskSettled(ref, outcome) {
      for (const lane of lanes) {
        for (const run of lane.running) {
          if (run.call.job !== ref.job || !run.isYielding) continue
          const seq = run.childNos.indexOf(ref.no)
          if (seq < 0) continue
          run.childOutcomes[seq] = outcome
          if (run.childOutcomes.some((other) => other === null)) continue
          loop.at(loop.now(), gate, () => {
            if (run.isOver || !run.isYielding) return
            run.isYielding = false
            ask({ type: 'resume', callId: run.call.callId })
            loop.at(loop.now() + rng.between(0, 5), gate, () => complete(lane, run))
          })
        }
      }
    },
    killProcessor(index) {
      const lane = lanes[index % Math.max(1, lanes.length)]
      if (lane !== undefined) killLane(lane)
    },
    close: () => {
      isClosed = true
      return Promise.resolve()
    },
  }
  return host
}

function subscribe<T>(sink: Set<T>, listener: T): () => void {
  sink.add(listener)
  return () => {
    sink.delete(listener)
  }
}
