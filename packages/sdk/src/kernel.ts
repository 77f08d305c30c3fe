import { ShoalError } from '@shoal/scheduler'
import { type Extent, isExtents, type KernelSpec, kernelText, operationFrom } from './code/index.ts'
import { type ContextBody, kernelOperation, type Operation, type TaskArgument } from './operation.ts'
import { checkTaskOptions } from './options.ts'
import type { TaskOptions } from './types.ts'

/** What a GPU reads and writes in bulk. 16-bit floats come as `Uint16Array` where there is no `Float16Array`. */
export type KernelArray = Float32Array | Int32Array | Uint32Array | Uint16Array | Uint8Array

/**
 * The argument of a kernel: its bindings by their names in the WGSL. Lists of numbers as the typed array of
 * their WGSL type; scalars, vectors and structs of numbers as numbers, lists and plain objects.
 */
export type KernelArguments = object

/** What a kernel is given: each binding as its value, the task that makes it, or the chunk that it is. */
export type KernelBindings<A extends KernelArguments> = { readonly [K in keyof A]: TaskArgument<A[K]> }

/** The outputs of a kernel by name. */
export type KernelResult = { readonly [name: string]: KernelArray }

/** A function that runs on a GPU: WGSL, and how its results are read. */
export interface KernelDefinition<A extends KernelArguments, R extends KernelResult> {
  /** The text of a WebGPU shader module. */
  readonly wgsl: string
  /** The compute entry point. Default: the only one. */
  readonly entry?: string
  /**
   * Which `var<storage, read_write>` are the results: a list of names, or names with their number of elements
   * (a product: `{ pixels: ['params.width', 'params.height'] }`). Without a number an output has as many
   * elements as the argument of its name, as its WGSL type says, or as the longest list among the arguments.
   */
  readonly outputs:
    | readonly (keyof R & string)[]
    | { readonly [K in keyof R & string]: Extent | readonly Extent[] }
  /** Workgroups in x, y, z. Default: as many as `threads` needs. */
  readonly workgroups?: Extent | readonly Extent[]
  /** Invocations in x, y, z, rounded up to whole workgroups. Default: one per element of the first output. */
  readonly threads?: Extent | readonly Extent[]
  /** Values of the module's `override`s, by name. */
  readonly constants?: Readonly<Record<string, number>>
  /** Shown to people. Default: the entry point, else `kernel`. */
  readonly name?: string
  /** The same in JavaScript, for peers without a GPU. Without it a task waits for a GPU, 10 seconds long. */
  readonly fallback?: ((args: A) => R | Promise<R>) | ContextBody<[args: A], R | Promise<R>>
}

/**
 * Makes an operation of a WebGPU compute shader. It runs on the GPU of any peer that lends one; with a
 * `fallback` also on workers, wherever it ends first. Its one argument holds the bindings by name, its value
 * the outputs by name, as typed arrays. A binding may be a task or a chunk, and becomes its value where the
 * kernel runs. Nothing in it is compiled before it runs: bad WGSL and arguments that do not fit fail the task
 * (`E_WGSL`, `E_KERNEL_ARGUMENT`).
 *
 * @example
 * const add = kernel<{ a: Float32Array; b: Float32Array }, { sum: Float32Array }>({
 *   wgsl: `
 *     @group(0) @binding(0) var<storage> a: array<f32>;
 *     @group(0) @binding(1) var<storage> b: array<f32>;
 *     @group(0) @binding(2) var<storage, read_write> sum: array<f32>;
 *     @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
 *       if (id.x < arrayLength(&sum)) { sum[id.x] = a[id.x] + b[id.x]; }
 *     }`,
 *   outputs: ['sum'],
 *   fallback: ({ a, b }) => ({ sum: a.map((x, i) => x + b[i]!) }),
 * })
 * const { sum } = await mesh.spawn(add, { a, b })
 *
 * @param defaults options of its tasks. `timeoutMs` is 30 seconds on a GPU unless it is given
 * @throws ShoalError `E_OPTION` bad definition or defaults; `E_CODE` the fallback cannot travel
 */
export function kernel<A extends KernelArguments = KernelArguments, R extends KernelResult = KernelResult>(
  definition: KernelDefinition<A, R>,
  defaults: TaskOptions = {},
): Operation<[args: KernelBindings<A>], R> {
  if (typeof definition !== 'object' || definition === null) refuse('it', 'an object', definition)
  const { name = definition.entry ?? 'kernel', fallback } = definition
  const spec = specOf(definition)
  checkTaskOptions({ name })
  const body = fallback === undefined ? noFallback : operationFrom(fallback, { name }).source
  return kernelOperation(name, kernelText(body, spec), fallback !== undefined, defaults)
}

const noFallback = 'export default null'

function specOf(definition: KernelDefinition<never, KernelResult>): KernelSpec {
  const { wgsl, entry, workgroups, threads, constants = {} } = definition
  if (typeof wgsl !== 'string' || wgsl === '') refuse('wgsl', 'the text of a shader module', wgsl)
  if (entry !== undefined && (typeof entry !== 'string' || entry === ''))
    refuse('entry', 'the name of an entry point', entry)
  if (workgroups !== undefined && threads !== undefined)
    refuse('threads', 'left out where "workgroups" is given', threads)
  if (typeof constants !== 'object' || !Object.values(constants).every(Number.isFinite))
    refuse('constants', 'numbers by the names of overrides', constants)
  return {
    wgsl,
    entry: entry ?? null,
    outputs: outputsOf(definition.outputs),
    workgroups: workgroups === undefined ? null : extentsOf('workgroups', workgroups),
    threads: threads === undefined ? null : extentsOf('threads', threads),
    constants,
  }
}

function outputsOf(outputs: unknown): KernelSpec['outputs'] {
  const wanted = 'one or more names of read_write storage variables, with their number of elements or without'
  if (typeof outputs !== 'object' || outputs === null) refuse('outputs', wanted, outputs)
  const named = Array.isArray(outputs)
    ? outputs.map((name): [unknown, null] => [name, null])
    : Object.entries(outputs).map(([name, extents]): [string, readonly Extent[]] => [
        name,
        extentsOf(`outputs.${name}`, extents),
      ])
  if (named.length === 0 || !named.every(([name]) => typeof name === 'string' && name !== ''))
    refuse('outputs', wanted, named.map(([name]) => name).join(', '))
  if (new Set(named.map(([name]) => name)).size < named.length)
    refuse('outputs', 'names that differ', named.map(([name]) => name).join(', '))
  return named as KernelSpec['outputs']
}

function extentsOf(option: string, value: unknown): readonly Extent[] {
  const extents = Array.isArray(value) ? value : [value]
  if (!isExtents(extents)) refuse(option, 'one to three whole numbers from 1, or names of arguments', value)
  return extents
}

function refuse(option: string, desired: string, actual: unknown): never {
  const shown = typeof actual === 'object' ? JSON.stringify(actual) : String(actual)
  throw new ShoalError(
    'E_OPTION',
    `Cannot define a kernel as "${option}" must be ${desired}: current value is ${shown.slice(0, 80)}`,
    { data: { option } },
  )
}
