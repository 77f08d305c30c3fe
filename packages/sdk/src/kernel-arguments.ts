import type { OperationRecord } from '@shoal/scheduler'
import { declaredNames, kernelOf } from './code/index.ts'
import { badArgument, badArguments, describeValue } from './processors/webgpu/gpu-errors.ts'

/*
 * A kernel has one argument, whose fields are its bindings. Tasks and chunks among them are arguments to the
 * scheduler, which knows arguments by their numbers: on their way the fields that wait lie behind the rest,
 * `[rest, names, field, field, ...]`, and whoever runs the kernel puts them back.
 */

/** What can be told of a kernel's argument without a GPU. */
interface KernelFields {
  /** Variables that are declared, and names in extents; `null`: nothing is declared, so its compiler will say more. */
  readonly known: ReadonlySet<string> | null
  readonly extents: readonly string[]
}

const fieldsByOperation = new WeakMap<OperationRecord, KernelFields | null>()

/**
 * The arguments of a kernel as they travel; those of other operations as they are.
 * @param isHandle tells tasks and chunks, whose values are not there yet
 * @throws ShoalError `E_KERNEL_ARGUMENT` for what no GPU would take
 */
export function openFields(
  operation: OperationRecord,
  args: readonly unknown[],
  isHandle: (value: unknown) => boolean,
): readonly unknown[] {
  const fields = fieldsOf(operation)
  if (fields === null) return args
  const [argument] = args
  if (args.length !== 1) throw badArguments('one object', `${args.length} arguments`)
  if (isHandle(argument)) return args
  if (!isRecord(argument)) throw badArguments('an object', describeValue(argument))
  checkNames(fields, argument)
  for (const extent of fields.extents) checkExtent(extent, argument, isHandle)
  const names = Object.keys(argument).filter((name) => isHandle(argument[name]))
  if (names.length === 0) return args
  const rest = Object.fromEntries(Object.entries(argument).filter(([name]) => !names.includes(name)))
  return [rest, names, ...names.map((name) => argument[name])]
}

/**
 * Undoes {@link openFields}.
 * @throws ShoalError `E_KERNEL_ARGUMENT`: they may come from a stranger
 */
export function closeFields(args: readonly unknown[]): readonly unknown[] {
  if (args.length <= 1) return args
  const [rest, names, ...values] = args
  if (!isRecord(rest) || !Array.isArray(names) || names.length !== values.length)
    throw badArguments('one object', `${args.length} arguments`)
  const entries = names.map((name, index): [string, unknown] => [String(name), values[index]])
  return [Object.fromEntries([...Object.entries(rest), ...entries])]
}

function fieldsOf(operation: OperationRecord): KernelFields | null {
  const seen = fieldsByOperation.get(operation)
  if (seen !== undefined) return seen
  const spec = kernelOf(operation)
  let fields: KernelFields | null = null
  if (spec !== null) {
    const lists = [...spec.outputs.map(([, list]) => list), spec.workgroups, spec.threads]
    const extents = lists.flatMap((list) => list ?? []).filter((extent) => typeof extent === 'string')
    const named = extents.map((extent) => extent.split('.', 1)[0] as string)
    const declared = declaredNames(spec.wgsl)
    fields = { known: declared.length === 0 ? null : new Set([...declared, ...named]), extents }
  }
  fieldsByOperation.set(operation, fields)
  return fields
}

function checkNames({ known }: KernelFields, argument: Readonly<Record<string, unknown>>): void {
  if (known === null || Object.keys(argument).every((name) => known.has(name))) return
  throw badArguments(`an object of ${[...known].join(', ')}`, describeValue(argument))
}

/** A number must count something; what a list has, and what is not there yet, the GPU sees. */
function checkExtent(
  extent: string,
  argument: Readonly<Record<string, unknown>>,
  isHandle: (value: unknown) => boolean,
): void {
  let value: unknown = argument
  for (const field of extent.split('.')) {
    value = isRecord(value) && Object.hasOwn(value, field) ? value[field] : undefined
    if (isHandle(value)) return
  }
  const isList = Array.isArray(value) || ArrayBuffer.isView(value)
  if (isList || (Number.isSafeInteger(value) && (value as number) > 0)) return
  throw badArgument(extent, 'a whole number from 1', describeValue(value))
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value)
}
