import {
  type Call,
  type CallEnded,
  type Clock,
  type OperationHash,
  type OperationRecord,
  type OperationStore,
  type PeerId,
  type ProcessorHost,
  type ProcessorId,
  type ProcessorRecord,
  processorId,
  ShoalError,
} from '@shoal/scheduler'
import { type KernelSpec, kernelOf } from '../../code/index.ts'
import { createEmitter } from '../../emitter.ts'
import { errorToRecord } from '../../values/index.ts'
import { failedCall } from '../call-ends.ts'
import { systemClock } from '../clock.ts'
import { gpuCallsMax, kernelMsMax } from '../limits.ts'
import { cancelled, refused } from '../pending-calls.ts'
import type { ResultForm } from '../protocol.ts'
import { notSerializable, payloadToWire, wireToPayload } from '../wire-value.ts'
import type { FromGpu, GpuHandle } from './gpu-protocol.ts'
import { createGpuSeat, type GpuSeat } from './gpu-seat.ts'

export interface GpuHostOptions {
  /** The peer that the GPU belongs to. */
  readonly peer: PeerId
  readonly startGpu: () => GpuHandle
  readonly operations: OperationStore
  /** Default: the platform's. */
  readonly clock?: Clock
  /** As for workers. Default `live`. */
  readonly resultForm?: ResultForm
}

/** The GPU of this peer as a {@link ProcessorHost} of one processor, or of none. */
export interface GpuHost extends ProcessorHost {
  /** Why this peer has no GPU to lend; `null` while it has one or may get one. */
  readonly absence: string | null
  /** Lends the GPU, or stops lending it: what runs ends, what waits goes back. */
  lendGpu(isLent: boolean): void
}

/** Lends nothing until it is told to. */
export function createGpuHost(options: GpuHostOptions): GpuHost {
  return new Host(options)
}

/** A call that the GPU has: the first one runs. */
interface SentCall {
  readonly call: Call
  /** It was told as ended: what the GPU says of it is ignored. */
  isAbandoned: boolean
}

/** A class for its lifetime: it owns all calls from `execute` to their end. */
class Host implements GpuHost {
  readonly #id: ProcessorId
  readonly #options: GpuHostOptions
  readonly #clock: Clock
  readonly #seat: GpuSeat
  readonly #emitter = createEmitter<{
    ended: readonly CallEnded[]
    processors: readonly ProcessorRecord[]
  }>()
  readonly #fetched = new Map<OperationHash, OperationRecord>()
  /** Calls whose kernel is on its way here. */
  readonly #parked = new Map<number, Call>()
  readonly #loaded = new Set<OperationHash>()
  #queue: Call[] = []
  #sent: SentCall[] = []
  #ended: CallEnded[] = []
  #processors: readonly ProcessorRecord[] = []
  #isLent = false
  #cancelDeadline = (): void => {}

  constructor(options: GpuHostOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#id = processorId(options.peer, 'webgpu', 0)
    this.#seat = createGpuSeat({
      clock: this.#clock,
      resultForm: options.resultForm ?? 'live',
      startGpu: options.startGpu,
      onEnded: (message) => this.#onEnded(message),
      onLost: () => this.#giveBack('lost'),
      onChange: () => this.#publish(),
    })
  }

  get processors(): readonly ProcessorRecord[] {
    return this.#processors
  }

  get absence(): string | null {
    return this.#seat.absence
  }

  lendGpu(isLent: boolean): void {
    if (this.#isLent === isLent) return
    this.#isLent = isLent
    if (isLent) this.#seat.open()
    else {
      this.#refuse(this.#queue.splice(0))
      if (this.#sent.length === 0) this.#stop()
    }
    this.#publish()
  }

  execute(_processor: ProcessorId, calls: readonly Call[]): void {
    for (const call of calls) {
      if (this.#processors.length === 0) this.#refuse([call])
      else if (this.#operationOf(call) === null) void this.#park(call)
      else this.#queue.push(call)
    }
    this.#pump()
  }

  abort(_processor: ProcessorId, callIds: readonly number[]): void {
    for (const callId of callIds) {
      const at = this.#queue.findIndex((call) => call.callId === callId)
      const sent = this.#sent.find(({ call }) => call.callId === callId)
      if (at !== -1) this.#queue.splice(at, 1)
      else if (sent !== undefined && !sent.isAbandoned) {
        // Nothing stops a kernel: what it gives is thrown away, and its deadline holds.
        sent.isAbandoned = true
        this.#seat.post({ type: 'drop', callId })
      } else if (!this.#parked.delete(callId)) continue
      this.#end(cancelled(callId, 0))
    }
  }

  onEnded(listener: (ended: readonly CallEnded[]) => void): () => void {
    return this.#emitter.on('ended', listener)
  }

  onProcessors(listener: (processors: readonly ProcessorRecord[]) => void): () => void {
    return this.#emitter.on('processors', listener)
  }

  /** Kernels ask for nothing. */
  onBody(): () => void {
    return () => {}
  }

  childrenAccepted(): void {}

  taskSettled(): void {}

  async close(): Promise<void> {
    this.#isLent = false
    this.#stop()
    this.#giveBack('refused')
    this.#publish()
    this.#flush()
  }

  #operationOf(call: Call): OperationRecord | null {
    return this.#options.operations.get(call.operation) ?? this.#fetched.get(call.operation) ?? null
  }

  async #park(call: Call): Promise<void> {
    this.#parked.set(call.callId, call)
    try {
      this.#fetched.set(call.operation, await this.#options.operations.fetch(call.operation, call.owner))
    } catch (error) {
      if (this.#parked.delete(call.callId)) this.#end(failedCall(call, errorToRecord(error)))
      return
    }
    if (this.#parked.delete(call.callId)) this.execute(this.#id, [call])
  }

  #pump(): void {
    while (this.#sent.length < gpuCallsMax && this.#processors.length > 0) {
      const call = this.#queue.shift()
      if (call === undefined) return
      try {
        this.#send(call)
      } catch (error) {
        this.#end(failedCall(call, errorToRecord(error)))
        continue
      }
      this.#sent.push({ call, isAbandoned: false })
      if (this.#sent.length === 1) this.#onHead()
    }
  }

  #send(call: Call): void {
    const { callId, operation: hash } = call
    if (!this.#loaded.has(hash)) {
      this.#seat.post({ type: 'load', hash, spec: this.#specOf(call) })
      this.#loaded.add(hash)
    }
    const inputs = call.inputs.map(({ index, value }) => ({ index, value: payloadToWire(value) }))
    try {
      this.#seat.post({ type: 'run', callId, hash, args: payloadToWire(call.args), inputs })
    } catch (error) {
      throw notSerializable(error)
    }
  }

  #specOf(call: Call): KernelSpec {
    const operation = this.#operationOf(call) as OperationRecord
    const spec = kernelOf(operation)
    if (spec !== null) return spec
    const text = `Cannot run operation "${operation.name}" on a GPU as it must be a kernel: current value is another operation`
    throw new ShoalError('E_CODE', text)
  }

  /** The next call runs from now on. */
  #onHead(): void {
    this.#cancelDeadline()
    const [head] = this.#sent
    this.#seat.setBusy(head !== undefined)
    if (head === undefined) return
    const timeoutMs = head.call.timeoutMs > 0 ? head.call.timeoutMs : kernelMsMax
    this.#cancelDeadline = this.#clock.setTimer(this.#clock.now() + timeoutMs, () => {
      this.#onOverrun(head, timeoutMs)
    })
  }

  /** Nothing stops a kernel, so its GPU is of no use until a new one answers. */
  #onOverrun(head: SentCall, timeoutMs: number): void {
    const text = `Cannot finish the kernel as it must end within ${timeoutMs} ms: current value is unfinished, and its GPU pauses`
    const error = errorToRecord(new ShoalError('E_GPU_TIMEOUT', text, { data: { timeoutMs } }))
    if (!head.isAbandoned) this.#end({ ...failedCall(head.call, error), ranMs: timeoutMs })
    head.isAbandoned = true
    this.#seat.pause()
    this.#giveBack('refused')
  }

  #onEnded({ callId, result, ranMs }: Extract<FromGpu, { readonly type: 'ended' }>): void {
    const at = this.#sent.findIndex(({ call }) => call.callId === callId)
    const [sent] = at === -1 ? [] : this.#sent.splice(at, 1)
    if (sent === undefined) return
    if (!sent.isAbandoned) {
      if ('error' in result) this.#end({ ...failedCall(sent.call, result.error), ranMs })
      else this.#end({ callId, outcome: { status: 'done', value: wireToPayload(result.value) }, ranMs })
    }
    this.#seat.proved()
    this.#onHead()
    this.#pump()
    if (!this.#isLent && this.#sent.length === 0) this.#stop()
  }

  /** All that this host has goes back. @param head how the call ends that ran */
  #giveBack(head: 'lost' | 'refused'): void {
    this.#cancelDeadline()
    this.#loaded.clear()
    const [running, ...waiting] = this.#sent.splice(0)
    if (running !== undefined && !running.isAbandoned)
      this.#end({ callId: running.call.callId, outcome: { status: head }, ranMs: 0 })
    this.#refuse(waiting.flatMap(({ call, isAbandoned }) => (isAbandoned ? [] : [call])))
    this.#refuse(this.#queue.splice(0))
    this.#refuse([...this.#parked.values()])
    this.#parked.clear()
  }

  #stop(): void {
    this.#cancelDeadline()
    this.#loaded.clear()
    this.#seat.end()
  }

  #publish(): void {
    const { score } = this.#seat
    const isThere = this.#isLent && score !== null
    if (!isThere && this.#processors.length === 0 && this.absence === null) return
    this.#processors = isThere ? [{ id: this.#id, kind: 'webgpu', isDefault: false, score }] : []
    this.#emitter.emit('processors', this.#processors)
  }

  #refuse(calls: readonly Call[]): void {
    for (const { callId } of calls) this.#end(refused(callId))
  }

  /** Tells at the end of the turn: never from within `execute`, and once for all that ended in it. */
  #end(ended: CallEnded): void {
    if (this.#ended.length === 0) queueMicrotask(() => this.#flush())
    this.#ended.push(ended)
  }

  #flush(): void {
    if (this.#ended.length > 0) this.#emitter.emit('ended', this.#ended.splice(0))
  }
}
