import type { TypeDefinition, VariableDefinition } from 'webgpu-utils'
import type { KernelArray } from '../../kernel.ts'
import { badArgument, describeValue } from './gpu-errors.ts'
import type { ShaderTools } from './shader-tools.ts'

type Scalar = 'f32' | 'i32' | 'u32' | 'f16'

/** How a WGSL value of numbers looks: how many, and of which type. */
interface Shape {
  readonly scalar: Scalar
  readonly count: number
}

interface NumberArray {
  new (buffer: ArrayBuffer, byteOffset?: number, length?: number): KernelArray
  readonly name: string
  readonly BYTES_PER_ELEMENT: number
}

const arrays: Readonly<Record<Scalar, NumberArray>> = {
  f32: Float32Array,
  i32: Int32Array,
  u32: Uint32Array,
  f16: Uint16Array,
}

/** A list in a kernel's memory: what its elements are, and how far apart. */
export interface ListType {
  /** The numbers of its elements; `null`: structs or matrices, which come and go as bytes or plain values. */
  readonly numbers: NumberArray | null
  readonly strideBytes: number
  /** 0: as many as there are. */
  readonly fixed: number
  /** As WGSL writes it. */
  readonly text: string
}

/** The list that a variable is; `null` when it is none. */
export function listTypeOf(tools: ShaderTools, variable: VariableDefinition): ListType | null {
  const type = variable.typeDefinition as AnyType
  if (type.elementType === undefined) return null
  const shape = shapeOf(type.elementType)
  const fixed = type.numElements ?? 0
  const strideBytes =
    fixed > 0 ? type.size / fixed : tools.getSizeAndAlignmentOfUnsizedArrayElement(variable).size
  const isFlat = shape !== null && !isMatrix(type.elementType)
  const text = `array<${typeText(type.elementType)}${fixed > 0 ? `, ${fixed}` : ''}>`
  return { numbers: isFlat ? arrays[shape.scalar] : null, strideBytes, fixed, text }
}

/**
 * The bytes of an argument as its variable wants them.
 * @throws ShoalError `E_KERNEL_ARGUMENT` saying what was expected
 */
export function bytesOf(
  tools: ShaderTools,
  name: string,
  variable: VariableDefinition,
  value: unknown,
): Uint8Array {
  const list = listTypeOf(tools, variable)
  if (list !== null && (list.numbers !== null || value instanceof Uint8Array))
    return listBytes(name, list, value)
  checkValue(name, variable.typeDefinition as AnyType, value)
  const size = list === null || list.fixed > 0 ? variable.size : lengthOf(value) * list.strideBytes
  const view = tools.makeStructuredView(variable, new ArrayBuffer(Math.max(size, openEnd(variable, value))))
  view.set(value)
  return new Uint8Array(view.arrayBuffer)
}

/** A list of the variable's type over bytes that came from the GPU. */
export function listFrom(type: ListType, bytes: ArrayBuffer): KernelArray {
  return type.numbers === null ? new Uint8Array(bytes) : new type.numbers(bytes)
}

function listBytes(name: string, list: ListType, value: unknown): Uint8Array {
  const wanted = list.numbers?.name ?? 'Uint8Array'
  const each = list.strideBytes / (list.numbers?.BYTES_PER_ELEMENT ?? 1)
  const isWanted = Object.prototype.toString.call(value) === `[object ${wanted}]`
  // Platforms with 16-bit floats of their own may hand them in.
  const isHalf = wanted === 'Uint16Array' && Object.prototype.toString.call(value) === '[object Float16Array]'
  const view = value as KernelArray
  const count = list.fixed > 0 ? ` of ${list.fixed * each}` : each === 1 ? '' : ` of ${each} for each element`
  const isFull =
    (isWanted || isHalf) &&
    view.byteLength > 0 &&
    view.byteLength % list.strideBytes === 0 &&
    (list.fixed === 0 || view.byteLength === list.fixed * list.strideBytes)
  if (!isFull) throw badArgument(name, `a ${wanted}${count} for ${list.text}`, describeValue(value))
  return new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength)
}

/** What a definition may be: the library's types say it by which fields are there. */
interface AnyType extends TypeDefinition {
  readonly fields?: Readonly<Record<string, { readonly offset: number; readonly type: AnyType }>>
  readonly elementType?: AnyType
  readonly numElements?: number
  readonly type?: string
}

function checkValue(path: string, type: AnyType, value: unknown): void {
  if (type.fields !== undefined) checkStruct(path, type.fields, value)
  else if (type.elementType !== undefined) checkList(path, type, type.elementType, value)
  else checkNumbers(path, type, value)
}

function checkStruct(path: string, fields: NonNullable<AnyType['fields']>, value: unknown): void {
  const names = Object.keys(fields)
  const wanted = `an object with ${names.join(', ')}`
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isRecord || ArrayBuffer.isView(value)) throw badArgument(path, wanted, describeValue(value))
  const record = value as Readonly<Record<string, unknown>>
  const isExact = names.every((name) => Object.hasOwn(record, name))
  if (!isExact || Object.keys(record).length > names.length)
    throw badArgument(path, wanted, describeValue(value))
  for (const name of names) checkValue(`${path}.${name}`, fields[name]?.type as AnyType, record[name])
}

function checkList(path: string, type: AnyType, element: AnyType, value: unknown): void {
  const count = type.numElements ?? 0
  const shape = shapeOf(element)
  const isFlat = shape !== null && ArrayBuffer.isView(value)
  const length = lengthOf(value)
  const isFull = length > 0 && (count === 0 || isFlat || length === count)
  if (!isFull) {
    const wanted = count === 0 ? 'a list with at least one element' : `a list of ${count}`
    throw badArgument(path, `${wanted} of ${typeText(element)}`, describeValue(value))
  }
  if (isFlat) return
  for (let at = 0; at < length; at++) checkValue(`${path}[${at}]`, element, (value as readonly unknown[])[at])
}

function checkNumbers(path: string, type: AnyType, value: unknown): void {
  const shape = shapeOf(type)
  if (shape === null) throw badArgument(path, 'of a type that can be handed in', typeText(type))
  if (shape.count === 1) {
    checkNumber(path, shape.scalar, value)
    return
  }
  const isList = Array.isArray(value) || ArrayBuffer.isView(value)
  if (!isList || lengthOf(value) !== shape.count)
    throw badArgument(path, `${shape.count} numbers for ${typeText(type)}`, describeValue(value))
  for (let at = 0; at < shape.count; at++)
    checkNumber(`${path}[${at}]`, shape.scalar, (value as readonly unknown[])[at])
}

const wholes: Partial<Readonly<Record<Scalar, readonly [from: number, to: number]>>> = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
}

/** Floats may be anything; other numbers would become something else without a word. */
function checkNumber(path: string, scalar: Scalar, value: unknown): void {
  const whole = wholes[scalar]
  if (whole === undefined) {
    if (typeof value !== 'number') throw badArgument(path, `a number for ${scalar}`, describeValue(value))
    return
  }
  const [from, to] = whole
  if (Number.isSafeInteger(value) && (value as number) >= from && (value as number) <= to) return
  throw badArgument(path, `a whole number from ${from} to ${to} for ${scalar}`, describeValue(value))
}

/** The room that a struct needs whose last field is a list without an end. */
function openEnd(variable: VariableDefinition, value: unknown): number {
  const { fields } = variable.typeDefinition as AnyType
  const [name, last] = Object.entries(fields ?? {}).at(-1) ?? []
  if (name === undefined || last?.type.elementType === undefined || last.type.size > 0) return 0
  const length = lengthOf((value as Readonly<Record<string, unknown>>)[name])
  // A multiple of the widest alignment is always enough.
  const element = Math.ceil(last.type.elementType.size / 16) * 16
  return last.offset + length * element
}

function lengthOf(value: unknown): number {
  if (Array.isArray(value)) return value.length
  return ArrayBuffer.isView(value) && 'length' in value ? (value.length as number) : 0
}

function isMatrix(type: AnyType): boolean {
  return type.type?.startsWith('mat') === true
}

function shapeOf(type: AnyType): Shape | null {
  const text = type.type?.replace(/^atomic<(.*)>$/, '$1') ?? ''
  const found = /^(?:(vec[234]|mat[234]x[234]))?<?(f32|i32|u32|f16|[fiuh])>?$/.exec(text)
  if (found === null) return null
  const scalar = scalars[found[2] ?? '']
  // Columns of three are padded to four.
  const [columns = 1, rows = 1] = (found[1]?.match(/\d/g) ?? []).map(Number)
  const count = found[1]?.startsWith('mat') === true ? columns * (rows === 3 ? 4 : rows) : columns
  return scalar === undefined ? null : { scalar, count }
}

const scalars: Readonly<Record<string, Scalar>> = {
  f32: 'f32',
  f: 'f32',
  i32: 'i32',
  i: 'i32',
  u32: 'u32',
  u: 'u32',
  f16: 'f16',
  h: 'f16',
}

function typeText(type: AnyType): string {
  if (type.fields !== undefined) return 'a struct'
  if (type.elementType !== undefined) return `array<${typeText(type.elementType)}>`
  return type.type ?? 'a resource'
}
