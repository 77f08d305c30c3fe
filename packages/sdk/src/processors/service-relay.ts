import type { CallOutcome, Payload, ServiceId } from '@shoal/scheduler'
import { errorToRecord } from '../values/index.ts'
import type { WireAnswer, WorkerNotice } from './protocol.ts'
import { payloadToWire, wireToPayload } from './wire-value.ts'
import type { WorkerSlot } from './worker-slot.ts'

/** Calls services of the room for bodies of this peer. */
export type CallService = (
  service: ServiceId,
  method: string,
  args: Payload,
  /** Services in whose methods the call is made, outermost first. */
  via: readonly ServiceId[],
  onEnded: (outcome: CallOutcome) => void,
) => void

/** Passes a body's call on, and its answer back to the worker. */
export function relayServiceCall(
  slot: WorkerSlot,
  { seq, service, method, args }: Extract<WorkerNotice, { readonly type: 'call-service' }>,
  call: CallService,
  via: readonly ServiceId[],
): void {
  call(service as ServiceId, method, wireToPayload(args), via, (outcome) => answer(slot, seq, outcome))
}

function answer(slot: WorkerSlot, seq: number, outcome: CallOutcome): void {
  const post = (made: WireAnswer): void => slot.post({ type: 'answered', seq, answer: made })
  if (outcome.status === 'failed') return post(outcome)
  try {
    post({ status: 'done', value: payloadToWire(outcome.value) })
  } catch {
    try {
      // It looked plain and was not (a proxy): packing reads through that.
      post({ status: 'done', value: { packed: outcome.value.pack() } })
    } catch (error) {
      post({ status: 'failed', error: errorToRecord(error) })
    }
  }
}
