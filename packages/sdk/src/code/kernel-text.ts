import type { OperationRecord } from '@shoal/scheduler'

/**
 * A number that is known when a kernel runs: itself, or the name of an argument. A list counts its elements,
 * a scalar is its value; `'params.width'` is a field of an argument.
 */
export type Extent = number | string

/** What a GPU needs of a kernel besides its arguments: plain data, so that no code has to be trusted. */
export interface KernelSpec {
  readonly wgsl: string
  /** `null`: the only compute entry point. */
  readonly entry: string | null
  /** Elements of each output: a product of extents. `null`: as its argument, its type or the longest list says. */
  readonly outputs: readonly (readonly [name: string, extents: readonly Extent[] | null])[]
  /** Workgroups in x, y and z. */
  readonly workgroups: readonly Extent[] | null
  /** Invocations in x, y and z, rounded up to whole workgroups. */
  readonly threads: readonly Extent[] | null
  /** Values of `override`s. */
  readonly constants: Readonly<Record<string, number>>
}

/** Where the data begins in the text of a kernel's module: its last line. */
const mark = '\n//# shoal-kernel='

/** The module of a kernel: `body` runs where there is no GPU, its last line is what a GPU reads. */
export function kernelText(body: string, spec: KernelSpec): string {
  return `${body.trimEnd()}${mark}${escapeLines(JSON.stringify(spec))}\n`
}

/** The kernel of an operation, read without running anything of it; `null` when it has none. */
export function kernelOf(operation: OperationRecord): KernelSpec | null {
  const at = operation.source.lastIndexOf(mark)
  if (at === -1) return null
  try {
    const spec: unknown = JSON.parse(operation.source.slice(at + mark.length))
    return isKernelSpec(spec) ? spec : null
  } catch {
    return null
  }
}

/** Names of the variables that a shader's text declares between angle brackets: what a kernel may bind is among them. */
export function declaredNames(wgsl: string): string[] {
  const declarations = withoutComments(wgsl).matchAll(
    /\bvar\s*<[^>]*>\s*([\p{ID_Start}_][\p{ID_Continue}]*)/gu,
  )
  return Array.from(declarations, ([, name]) => name as string)
}

/** The text without what compilers do not read. */
export function withoutComments(wgsl: string): string {
  return wgsl.replace(/\/\/[^\n]*|\/\*[\s\S]*?\*\//g, ' ')
}

/** These end a comment like a line feed, and JSON leaves them as they are. */
function escapeLines(json: string): string {
  return json.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')
}

/** The text may come from anybody. */
function isKernelSpec(value: unknown): value is KernelSpec {
  if (typeof value !== 'object' || value === null) return false
  const spec = value as Partial<Record<keyof KernelSpec, unknown>>
  const { constants } = spec
  return (
    typeof spec.wgsl === 'string' &&
    (spec.entry === null || typeof spec.entry === 'string') &&
    Array.isArray(spec.outputs) &&
    spec.outputs.length > 0 &&
    spec.outputs.every(isOutput) &&
    (spec.workgroups === null || isExtents(spec.workgroups)) &&
    (spec.threads === null || isExtents(spec.threads)) &&
    typeof constants === 'object' &&
    constants !== null &&
    Object.values(constants).every((constant) => typeof constant === 'number')
  )
}

function isOutput(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false
  return typeof value[0] === 'string' && (value[1] === null || isExtents(value[1]))
}

/** Says whether `value` is one to `max` extents. */
export function isExtents(value: unknown, max = 3): value is readonly Extent[] {
  return Array.isArray(value) && value.length >= 1 && value.length <= max && value.every(isExtent)
}

function isExtent(value: unknown): value is Extent {
  if (typeof value === 'string') return /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/.test(value)
  return Number.isSafeInteger(value) && (value as number) > 0
}
