import {
  type Call,
  type CallEnded,
  type ErrorRecord,
  PackedColumn,
  PackedPayload,
  type Payload,
  type RangeItems,
  type RangeValues,
  readPayload,
  type SliceItem,
  type SliceOutcome,
} from '@shoal/scheduler'
import { type LiveItems, LivePayload, packShared, type Row, SliceValues } from '../values/index.ts'
import { joinRow, type PackedRow, partOf } from './packed-row.ts'
import { cancelled, refused } from './pending-calls.ts'
import { type ResultForm, resultStatus, type WireSliced } from './protocol.ts'

/** How a call ended, by what its worker told. */
export function endOf(
  call: Call,
  status: number,
  value: unknown,
  ranMs: number,
  form: ResultForm,
): CallEnded {
  const { callId } = call
  switch (status) {
    case resultStatus.live:
      return { callId, outcome: { status: 'done', value: payloadOf(value, form) }, ranMs }
    case resultStatus.packed:
      return { callId, outcome: { status: 'done', value: readPayload(value as Uint8Array) }, ranMs }
    case resultStatus.failed:
      return { ...failedCall(call, value as ErrorRecord), ranMs }
    case resultStatus.refused:
      return refused(callId)
    default:
      return cancelled(callId, ranMs)
  }
}

function payloadOf(value: unknown, form: ResultForm): Payload {
  return form === 'live' ? new LivePayload(value) : new PackedPayload(packShared(value))
}

/** How a call fails before or without its body. */
export function failedCall(call: Call, error: ErrorRecord): CallEnded {
  return { callId: call.callId, outcome: { status: 'failed', error }, ranMs: 0 }
}

/** The items of a slice as they go to a worker. */
export function toRow(items: RangeItems): { readonly row: Row | PackedRow; readonly isSingle: boolean } {
  if (!(items instanceof PackedColumn)) {
    const live = items as LiveItems
    return { row: live.toRow(), isSingle: live.isSingle }
  }
  const { numbers, parts, isWrapped } = items
  return { row: numbers?.slice() ?? joinRow(parts ?? []), isSingle: isWrapped }
}

/** How a slice ended, by what its worker told. */
export function slicedOutcome({ values, packed, big, failed }: WireSliced, form: ResultForm): SliceOutcome {
  const bad = failed.map(({ index, error }): SliceItem => ({ index, outcome: { status: 'failed', error } }))
  const apart = big.map(({ index, value }): SliceItem => {
    return { index, outcome: { status: 'done', value: new PackedPayload(value) } }
  })
  return { status: 'sliced', values: toValues(values, packed, form), apart: [...bad, ...apart] }
}

function toValues(values: Row | PackedRow, packed: readonly number[], form: ResultForm): RangeValues {
  if ('ends' in values)
    return new PackedColumn(
      values.ends.map((_, index) => partOf(values, index)),
      false,
    )
  if (form === 'packed' && values instanceof Float64Array) return new PackedColumn(values, false)
  return new SliceValues(values, packed.length === 0 ? null : new Set(packed))
}
