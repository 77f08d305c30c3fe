import { type OperationHash, ShoalError } from '@shoal/scheduler'
import type { KernelSpec } from '../../code/index.ts'
import { closeFields } from '../../kernel-arguments.ts'
import { errorToRecord, packShared } from '../../values/index.ts'
import type { ResultForm, WireValue } from '../protocol.ts'
import { fromWireValue } from '../wire-value.ts'
import { compileKernel, type Program } from './gpu-program.ts'
import type { FromGpu, ToGpu } from './gpu-protocol.ts'
import { runKernel } from './gpu-run.ts'
import { measureGpuSpeed } from './gpu-speed.ts'

/** What differs between platforms around a GPU. */
export interface GpuPlatform {
  /** The door to the platform's GPUs, or in words why there is none. */
  openGpu(): Promise<GPU | string>
  post(message: FromGpu, transfers: ArrayBuffer[]): void
}

type Run = Extract<ToGpu, { readonly type: 'run' }>

/** Serves one GPU, one kernel at a time: gives what messages have to be handed to. */
export function createGpuRunner(platform: GpuPlatform): (message: ToGpu) => void {
  const programs = new Map<OperationHash, { readonly spec: KernelSpec; program: Promise<Program> | null }>()
  const dropped = new Set<number>()
  let device: GPUDevice | null = null
  let resultForm: ResultForm = 'live'
  let tail: Promise<void> = Promise.resolve()

  const start = async (): Promise<void> => {
    try {
      device = await openDevice(platform)
      void device.lost.then(({ message }) => platform.post({ type: 'lost', reason: message }, []))
      platform.post({ type: 'ready', score: await measureGpuSpeed(device) }, [])
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      platform.post({ type: 'absent', reason }, [])
    }
  }

  const programOf = (hash: OperationHash): Promise<Program> => {
    const entry = programs.get(hash)
    if (entry === undefined || device === null) throw new Error('a call came before its kernel or its device')
    // A device that runs out of memory while compiling may have some later: a failure is not kept.
    entry.program ??= compileKernel(device, entry.spec).catch((error: unknown) => {
      entry.program = null
      throw error
    })
    return entry.program
  }

  const run = async ({ callId, hash, args, inputs }: Run): Promise<void> => {
    const startedAt = performance.now()
    let result: Extract<FromGpu, { readonly type: 'ended' }>['result']
    const transfers: ArrayBuffer[] = []
    try {
      if (dropped.delete(callId)) throw new ShoalError('E_CANCELLED', 'the call was stopped')
      const values = fromWireValue(args) as unknown[]
      for (const { index, value } of inputs) values[index] = fromWireValue(value)
      const program = await programOf(hash)
      const [argument] = closeFields(values)
      const outputs = await runKernel(device as GPUDevice, program, argument)
      result = { value: toWire(outputs, resultForm, transfers) }
    } catch (error) {
      result = { error: errorToRecord(error) }
    }
    dropped.delete(callId)
    platform.post({ type: 'ended', callId, result, ranMs: performance.now() - startedAt }, transfers)
  }

  return (message) => {
    switch (message.type) {
      case 'start':
        resultForm = message.resultForm
        void start()
        break
      case 'load':
        programs.set(message.hash, { spec: message.spec, program: null })
        break
      case 'run':
        tail = tail.then(() => run(message))
        break
      case 'drop':
        dropped.add(message.callId)
        break
    }
  }
}

function toWire(
  outputs: Readonly<Record<string, ArrayBufferView>>,
  form: ResultForm,
  transfers: ArrayBuffer[],
): WireValue {
  if (form === 'live') {
    for (const { buffer } of Object.values(outputs)) transfers.push(buffer as ArrayBuffer)
    return { live: outputs }
  }
  const packed = packShared(outputs)
  // Small ones share a buffer with others.
  if (packed.byteLength === packed.buffer.byteLength) transfers.push(packed.buffer as ArrayBuffer)
  return { packed }
}

/** Features that a kernel may `enable`. */
const features: readonly string[] = ['shader-f16', 'subgroups']
/** Limits that are raised to what the adapter can do: kernels are written for big data. */
const limits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
] as const

async function openDevice(platform: GpuPlatform): Promise<GPUDevice> {
  const gpu = await platform.openGpu()
  if (typeof gpu === 'string') throw absent(gpu)
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (adapter === null) throw absent('no adapter')
  return adapter.requestDevice({
    requiredFeatures: features.filter((name) => adapter.features.has(name)) as GPUFeatureName[],
    requiredLimits: Object.fromEntries(limits.map((name) => [name, adapter.limits[name]])),
  })
}

function absent(found: string): ShoalError {
  return new ShoalError('E_GPU', `Cannot use a GPU as the platform must offer one: current value is ${found}`)
}
