import {
  ChunkPayload,
  type OperationHash,
  PackedColumn,
  PackedPayload,
  type Payload,
  type RangeItems,
  type RangeValues,
} from '../../index.ts'
import { mix } from './rng.ts'

/** The only operation of a simulated world: its arguments say what the body does. */
export const simOperation = `${'5'.repeat(64)}#run` as OperationHash

/** What a simulated body does: carried in the task's arguments, so that every copy is checkable. */
export interface SimProgram {
  /** Goes into the value. */
  readonly seed: number
  /** Nominal run time in milliseconds. */
  readonly runMs: number
  /** The first executions of the task, over all peers, that throw; 255 = all. */
  readonly failTimes: number
  /** What dies in the middle of the body. */
  readonly kills: 'nothing' | 'processor' | 'peer'
  /** Tasks that the body spawns and waits for. */
  readonly children: number
  /** Levels of spawning below this one. */
  readonly depth: number
  /** Size of the value as its chunk says it, in KiB; 0 or absent: the value is small and becomes none. */
  readonly kib?: number
}

export const failsAlways = 255
const kinds = ['nothing', 'processor', 'peer'] as const

/** Arguments of a task that runs `program`. */
export function packProgram(program: SimProgram): PackedPayload {
  const bytes = new Uint8Array(12)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, program.seed)
  view.setUint16(4, program.runMs)
  bytes[6] = program.failTimes
  bytes[7] = kinds.indexOf(program.kills)
  bytes[8] = program.children
  bytes[9] = program.depth
  view.setUint16(10, program.kib ?? 0)
  return new PackedPayload(bytes)
}

export function unpackProgram(payload: Payload): SimProgram {
  const bytes = headOf(payload)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return {
    seed: view.getUint32(0),
    runMs: view.getUint16(4),
    failTimes: bytes[6] ?? 0,
    kills: kinds[bytes[7] ?? 0] ?? 'nothing',
    children: bytes[8] ?? 0,
    depth: bytes[9] ?? 0,
    kib: view.getUint16(10),
  }
}

/** The programs of the tasks that a body spawns, by `seq`. */
export function childPrograms(program: SimProgram): readonly SimProgram[] {
  return Array.from({ length: program.children }, (_, seq) => ({
    seed: mix(program.seed, seq + 1),
    runMs: 1 + (mix(program.seed, seq) % 20),
    failTimes: 0,
    kills: 'nothing',
    children: program.depth > 0 && seq === 0 ? program.children : 0,
    depth: Math.max(0, program.depth - 1),
  }))
}

/** Bytes that a large value really has in a world: enough to be taken for large. */
const largeBytes = 64
const sizeAt = largeBytes - 4
/** Values and arguments of more bytes become chunks where a world has chunks. */
export const simChunkFromBytes = 48

/** Makes bytes large ones of a size that only their chunk says. */
export function enlarge({ bytes }: PackedPayload, kib: number): PackedPayload {
  const large = new Uint8Array(largeBytes)
  large.set(bytes)
  new DataView(large.buffer).setUint32(sizeAt, kib * 1024)
  return new PackedPayload(large)
}

/** The size that a chunk says of large bytes. */
export function saidSize(bytes: Uint8Array): number {
  if (bytes.length !== largeBytes) return bytes.length
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(sizeAt)
}

/** How a payload starts: the hash of a simulated chunk starts as its bytes do, so that references are checkable. */
function headOf(payload: Payload): Uint8Array {
  return payload instanceof ChunkPayload ? payload.ref.hash : payload.pack()
}

/**
 * A value: what the body computed, and which execution computed it. The number must not depend on
 * the execution; the stamp makes it visible when one outcome is exchanged for another. A large value has none:
 * it is the same each time.
 */
export function packValue(number: number, stamp: number, kib: number = 0): PackedPayload {
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, number)
  view.setUint32(4, kib > 0 ? 0 : stamp)
  const small = new PackedPayload(bytes)
  return kib > 0 ? enlarge(small, kib) : small
}

export function numberOf(value: Payload): number {
  const bytes = headOf(value)
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0)
}

/** Equal for the outcomes of one execution. */
export function stampOf(value: Payload): number | string {
  if (value instanceof ChunkPayload) return value.ref.id
  const bytes = value.pack()
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(4)
}

/** The arguments of several tasks as a range. */
export function packRange(args: readonly Payload[]): RangeItems {
  return columnOf(args)
}

/** The values of several tasks as a slice's. */
export function packValues(values: readonly Payload[]): RangeValues {
  return columnOf(values)
}

function columnOf(payloads: readonly Payload[]): PackedColumn {
  return new PackedColumn(
    payloads.map((payload) => payload.pack()),
    false,
  )
}

/** The number that a body makes of its inputs (by argument index) and its children's numbers. */
export function resultOf(
  program: SimProgram,
  inputs: readonly number[],
  children: readonly number[],
): number {
  let hash = mix(program.seed, 0x51)
  for (const input of inputs) hash = mix(hash, input)
  for (const child of children) hash = mix(hash, child)
  return hash
}

/** The number of a child and all below it: children take no inputs. */
export function numberOfProgram(program: SimProgram): number {
  return resultOf(program, [], childPrograms(program).map(numberOfProgram))
}
