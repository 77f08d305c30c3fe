import type { Extent } from '../../code/index.ts'
import type { KernelArray } from '../../kernel.ts'
import { badArgument, badArguments, badWgsl, describeValue, gpuRefused } from './gpu-errors.ts'
import type { Binding, Program } from './gpu-program.ts'
import { bytesOf, type ListType, listFrom, listTypeOf } from './gpu-types.ts'
import { bufferUsage, mapRead } from './gpu-usage.ts'

type Arguments = Readonly<Record<string, unknown>>

/** A binding with what goes in and comes out. */
interface Slot {
  readonly binding: Binding
  readonly bytes: Uint8Array | null
  readonly sizeBytes: number
  /** `null`: it is no output. */
  readonly output: ListType | null
}

/**
 * Runs a kernel once.
 * @returns its outputs by name, each with a buffer of its own
 * @throws ShoalError `E_KERNEL_ARGUMENT`, `E_WGSL`, `E_GPU`
 */
export async function runKernel(
  device: GPUDevice,
  program: Program,
  argument: unknown,
): Promise<Record<string, KernelArray>> {
  const args = checkNames(program, argument)
  const slots = slotsOf(program, args)
  const groups = workgroupsOf(device, program, args, slots)
  for (const { binding, sizeBytes } of slots) checkSize(device, binding, sizeBytes)
  const buffers: GPUBuffer[] = []
  try {
    return await dispatch(device, program, slots, groups, buffers)
  } finally {
    for (const buffer of buffers) buffer.destroy()
  }
}

function checkNames({ bindings, spec }: Program, argument: unknown): Arguments {
  const outputs = new Set(spec.outputs.map(([name]) => name))
  const needed = bindings.filter(({ name }) => !outputs.has(name)).map(({ name }) => name)
  const wanted = needed.length === 0 ? 'an object' : `an object with ${needed.join(', ')}`
  const isRecord = typeof argument === 'object' && argument !== null && !Array.isArray(argument)
  if (!isRecord || ArrayBuffer.isView(argument)) throw badArguments(wanted, describeValue(argument))
  const args = argument as Arguments
  const extents = [
    ...spec.outputs.flatMap(([, list]) => list ?? []),
    ...(spec.workgroups ?? []),
    ...(spec.threads ?? []),
  ]
  const named = extents.flatMap((extent) => (typeof extent === 'string' ? [extent.split('.', 1)[0]] : []))
  const known = new Set([...needed, ...outputs, ...named])
  const isComplete = needed.every((name) => Object.hasOwn(args, name))
  if (!isComplete || Object.keys(args).some((name) => !known.has(name)))
    throw badArguments(wanted, describeValue(args))
  return args
}

function slotsOf(program: Program, args: Arguments): Slot[] {
  const { bindings, spec, tools } = program
  const outputs = new Map(spec.outputs)
  const slots: Slot[] = []
  for (const binding of bindings) {
    const { name, variable } = binding
    const given = Object.hasOwn(args, name) ? bytesOf(tools, name, variable, args[name]) : null
    if (!outputs.has(name)) {
      const bytes = given as Uint8Array
      slots.push({ binding, bytes, sizeBytes: bytes.byteLength, output: null })
      continue
    }
    const list = listTypeOf(tools, variable) ?? oneOf(binding)
    const extents = outputs.get(name) ?? null
    const elements = elementsOf(program, args, list, extents, given)
    slots.push({ binding, bytes: given, sizeBytes: elements * list.strideBytes, output: list })
  }
  return slots
}

/** An output that is no list is one of a single element. */
function oneOf({ name, variable }: Binding): ListType {
  const text = (variable.typeDefinition as { readonly type?: string }).type ?? 'a struct'
  const numbers = /u32/.test(text)
    ? Uint32Array
    : /i32/.test(text)
      ? Int32Array
      : /f32|f$/.test(text)
        ? Float32Array
        : null
  if (variable.size === 0)
    throw badWgsl(`output "${name}" must be of a known size`, 'a struct without an end')
  return { numbers, strideBytes: variable.size, fixed: 1, text }
}

function elementsOf(
  program: Program,
  args: Arguments,
  list: ListType,
  extents: readonly Extent[] | null,
  given: Uint8Array | null,
): number {
  if (extents !== null)
    return extents.reduce<number>((product, extent) => product * extentOf(program, args, extent), 1)
  if (list.fixed > 0) return list.fixed
  if (given !== null) return given.byteLength / list.strideBytes
  const lengths = program.bindings.flatMap(({ name, variable }) => {
    const type = Object.hasOwn(args, name) ? listTypeOf(program.tools, variable) : null
    return type === null ? [] : [countOf(type, args[name])]
  })
  if (lengths.length > 0) return Math.max(...lengths)
  throw badWgsl('outputs must say how many elements they have where no argument is a list', 'not said')
}

function countOf(type: ListType, value: unknown): number {
  return ArrayBuffer.isView(value)
    ? value.byteLength / type.strideBytes
    : (value as readonly unknown[]).length
}

function extentOf(program: Program, args: Arguments, extent: Extent): number {
  if (typeof extent === 'number') return extent
  const [name = '', ...path] = extent.split('.')
  const binding = program.bindings.find((candidate) => candidate.name === name)
  const list = binding === undefined ? null : listTypeOf(program.tools, binding.variable)
  let value: unknown = Object.hasOwn(args, name) ? args[name] : undefined
  if (list !== null && path.length === 0 && value !== undefined) return countOf(list, value)
  for (const field of path) {
    const isRecord = typeof value === 'object' && value !== null && Object.hasOwn(value, field)
    value = isRecord ? (value as Arguments)[field] : undefined
  }
  if (Array.isArray(value) || ArrayBuffer.isView(value))
    value = (value as unknown as readonly unknown[]).length
  if (Number.isSafeInteger(value) && (value as number) > 0) return value as number
  throw badArgument(extent, 'a whole number from 1', describeValue(value))
}

function workgroupsOf(
  device: GPUDevice,
  program: Program,
  args: Arguments,
  slots: readonly Slot[],
): [number, number, number] {
  const { spec, workgroupSize } = program
  const groups: [number, number, number] = [1, 1, 1]
  if (spec.workgroups !== null) {
    spec.workgroups.forEach((extent, axis) => {
      groups[axis] = extentOf(program, args, extent)
    })
  } else {
    if (workgroupSize === null)
      throw badWgsl('"workgroups" must be given', 'a @workgroup_size that is an expression')
    const threads = spec.threads?.map((extent) => extentOf(program, args, extent)) ?? [
      firstOutput(program, slots),
    ]
    threads.forEach((count, axis) => {
      groups[axis] = Math.ceil(count / (workgroupSize[axis] as number))
    })
  }
  const most = device.limits.maxComputeWorkgroupsPerDimension
  if (Math.max(...groups) > most)
    throw badArgument(
      'workgroups',
      `at most ${most} in each direction (give "threads" or "workgroups" in two directions)`,
      groups.join(' x '),
    )
  return groups
}

function firstOutput({ spec }: Program, slots: readonly Slot[]): number {
  const [first] = spec.outputs
  const slot = slots.find(({ binding }) => binding.name === first?.[0])
  return slot?.output === null || slot === undefined ? 1 : slot.sizeBytes / slot.output.strideBytes
}

function checkSize(device: GPUDevice, { name, use }: Binding, sizeBytes: number): void {
  const { maxUniformBufferBindingSize, maxStorageBufferBindingSize } = device.limits
  const most = use === 'uniform' ? maxUniformBufferBindingSize : maxStorageBufferBindingSize
  if (sizeBytes > most) throw badArgument(name, `at most ${most} bytes on this GPU`, String(sizeBytes))
}

/** Sizes of copies are multiples of four. */
function padded(bytes: number): number {
  return Math.ceil(bytes / 4) * 4
}

async function dispatch(
  device: GPUDevice,
  program: Program,
  slots: readonly Slot[],
  groups: readonly [number, number, number],
  buffers: GPUBuffer[],
): Promise<Record<string, KernelArray>> {
  device.pushErrorScope('out-of-memory')
  device.pushErrorScope('validation')
  const make = (size: number, usage: number): GPUBuffer => {
    const buffer = device.createBuffer({ size, usage })
    buffers.push(buffer)
    return buffer
  }
  const entries: GPUBindGroupEntry[][] = program.layouts.map(() => [])
  const encoder = device.createCommandEncoder()
  const reads: { readonly name: string; readonly slot: Slot; readonly source: GPUBuffer }[] = []
  for (const slot of slots) {
    const { binding, bytes, sizeBytes, output } = slot
    const kind = binding.use === 'uniform' ? bufferUsage.uniform : bufferUsage.storage
    const source = make(padded(sizeBytes), kind | bufferUsage.copyDst | bufferUsage.copySrc)
    if (bytes !== null) write(device, source, bytes.subarray(0, sizeBytes))
    entries[binding.group]?.push({ binding: binding.binding, resource: { buffer: source } })
    if (output !== null) reads.push({ name: binding.name, slot, source })
  }
  const pass = encoder.beginComputePass()
  pass.setPipeline(program.pipeline)
  program.layouts.forEach((layout, group) => {
    pass.setBindGroup(group, device.createBindGroup({ layout, entries: entries[group] ?? [] }))
  })
  pass.dispatchWorkgroups(...groups)
  pass.end()
  const staged = reads.map(({ name, slot, source }) => {
    const size = padded(slot.sizeBytes)
    const target = make(size, bufferUsage.mapRead | bufferUsage.copyDst)
    encoder.copyBufferToBuffer(source, 0, target, 0, size)
    return { name, slot, target }
  })
  device.queue.submit([encoder.finish()])
  // Waiting for the results themselves is the fastest way to wait; scopes answer before.
  const scopes = Promise.all([device.popErrorScope(), device.popErrorScope()])
  const maps = Promise.allSettled(staged.map(({ target }) => target.mapAsync(mapRead)))
  const [[invalid, memory], mapped] = await Promise.all([scopes, maps])
  const refusal = invalid ?? memory
  if (refusal !== null) throw gpuRefused(refusal.message)
  const unread = mapped.find((one) => one.status === 'rejected')
  if (unread !== undefined) throw gpuRefused(String(unread.reason))
  return Object.fromEntries(
    staged.map(({ name, slot, target }) => {
      const bytes = target.getMappedRange().slice(0, slot.sizeBytes)
      return [name, listFrom(slot.output as ListType, bytes)]
    }),
  )
}

function write(device: GPUDevice, buffer: GPUBuffer, bytes: Uint8Array): void {
  const whole = bytes.byteLength - (bytes.byteLength % 4)
  device.queue.writeBuffer(buffer, 0, bytes as Uint8Array<ArrayBuffer>, 0, whole)
  if (whole === bytes.byteLength) return
  const rest = new Uint8Array(4)
  rest.set(bytes.subarray(whole))
  device.queue.writeBuffer(buffer, whole, rest)
}
