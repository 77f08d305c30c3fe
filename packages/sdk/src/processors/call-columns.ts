import type { Call, OperationHash } from '@shoal/scheduler'
import { isCloneSafe, LivePayload } from '../values/index.ts'
import { type CallExtra, type CallFrame, toColumn, type WireCall } from './protocol.ts'
import { inputToWire, packedToSend } from './wire-value.ts'

/** An operation whose code this worker has. */
export interface SentOperation {
  readonly hash: OperationHash
  readonly index: number
  readonly mayTakeContext: boolean
}

/** A frame that still grows. */
export interface CallColumns {
  readonly ids: number[]
  readonly operations: number[]
  /** Each an array, or a packed one. */
  readonly args: unknown[]
  /** Buffers that go to the worker as they are. */
  readonly transfers: ArrayBuffer[]
  readonly extras: (CallExtra | null)[]
  /** Every call so far has exactly one argument, which is no bytes. */
  isSingle: boolean
  /** No call so far has an extra. */
  isPlain: boolean
}

/** A frame of one call. Its lists are as long as they must be: most frames of single calls stay as they are. */
export function startFrame(call: Call, operation: SentOperation): CallColumns {
  const transfers: ArrayBuffer[] = []
  const { args, extra, isSingle } = entryOf(call, operation, transfers)
  return {
    ids: [call.callId],
    operations: [operation.index],
    args: [args],
    extras: [extra],
    transfers,
    isSingle,
    isPlain: extra === null,
  }
}

/** The message of a call with one plain argument and nothing else; `null`: it needs a frame. */
export function toWireCall(call: Call, { index, mayTakeContext }: SentOperation): WireCall | null {
  const { callId, args, inputs, timeoutMs, items } = call
  if (mayTakeContext || timeoutMs > 0 || inputs.length > 0 || items !== null) return null
  if (!(args instanceof LivePayload)) return null
  const list = args.value as readonly unknown[]
  return list.length === 1 && isCloneSafe(list[0]) ? [callId, index, list[0]] : null
}

export function addToFrame(frame: CallColumns, call: Call, operation: SentOperation): void {
  const { args, extra, isSingle } = entryOf(call, operation, frame.transfers)
  if (!isSingle) frame.isSingle = false
  if (extra !== null) frame.isPlain = false
  frame.ids.push(call.callId)
  frame.operations.push(operation.index)
  frame.args.push(args)
  frame.extras.push(extra)
}

function entryOf(
  call: Call,
  operation: SentOperation,
  transfers: ArrayBuffer[],
): { readonly args: unknown; readonly extra: CallExtra | null; readonly isSingle: boolean } {
  const isLive = call.args instanceof LivePayload && isCloneSafe(call.args.value)
  const args = isLive ? (call.args as LivePayload).value : packedToSend(call.args, transfers)
  const isSingle = isLive && (args as readonly unknown[]).length === 1
  return { args, extra: extraOf(call, operation, transfers), isSingle }
}

export function toFrame({ ids, operations, args, extras, isSingle, isPlain }: CallColumns): CallFrame {
  const first = operations[0] as number
  return {
    ids: toColumn(ids),
    operations: operations.every((index) => index === first) ? first : operations,
    args: isSingle ? args.map((list) => (list as readonly unknown[])[0]) : args,
    isSingle,
    extras: isPlain ? null : extras,
  }
}

function extraOf(call: Call, operation: SentOperation, transfers: ArrayBuffer[]): CallExtra | null {
  const { job, no, attempt, inputs, timeoutMs } = call
  if (inputs.length === 0 && timeoutMs === 0 && !operation.mayTakeContext) return null
  const wired = inputs.map(({ index, value }) => ({ index, value: inputToWire(value, transfers) }))
  return { job, no, attempt, isTimed: timeoutMs > 0, inputs: wired }
}
