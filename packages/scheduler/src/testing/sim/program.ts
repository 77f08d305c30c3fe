import {
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
}

export const failsAlways = 255
const kinds = ['nothing', 'processor', 'peer'] as const

/** Arguments of a task that runs `program`. */
export function packProgram(program: SimProgram): Payload {
  const bytes = new Uint8Array(12)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, program.seed)
  view.setUint16(4, program.runMs)
  bytes[6] = program.failTimes
  bytes[7] = kinds.indexOf(program.kills)
  bytes[8] = program.children
  bytes[9] = program.depth
  return new PackedPayload(bytes)
}

export function unpackProgram(payload: Payload): SimProgram {
  const bytes = payload.pack()
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return {
    seed: view.getUint32(0),
    runMs: view.getUint16(4),
    failTimes: bytes[6] ?? 0,
    kills: kinds[bytes[7] ?? 0] ?? 'nothing',
    children: bytes[8] ?? 0,
    depth: bytes[9] ?? 0,
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

/**
 * A value: what the body computed, and which execution computed it. The number must not depend on
 * the execution; the stamp makes it visible when one outcome is exchanged for another.
 */
export function packValue(number: number, stamp: number): Payload {
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, number)
  view.setUint32(4, stamp)
  return new PackedPayload(bytes)
}

export function numberOf(value: Payload): number {
  const bytes = value.pack()
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0)
}

export function stampOf(value: Payload): number {
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
