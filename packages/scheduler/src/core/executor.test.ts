import { expect, test } from 'vitest'
import type { JobId, OperationHash, PeerId } from '../model/ids.ts'
import { PackedPayload } from '../model/payload.ts'
import { processorId } from '../model/processor.ts'
import { defaultTaskOptions, noNeeds } from '../model/task.ts'
import type { Effect } from './effects.ts'
import type { CallEnded } from './events.ts'
import { createState } from './state.ts'
import { step } from './step.ts'

const me = 'me' as PeerId
const job = 'job' as JobId
const value = new PackedPayload(Uint8Array.of(1))

/** One worker that has run one call of `operation`, which took `ranMs`; gives the calls of two more. */
function callsAfter(operations: readonly string[], ranMs: number): number[] {
  const state = createState({ self: me, epoch: 1, role: 'member', name: 'me', isReplicated: false })
  const processors = [{ id: processorId(me, 'worker', 0), kind: 'worker', isDefault: true, score: 1 }]
  const callsOf = (effects: readonly Effect[]): number[] =>
    effects.flatMap((effect) => (effect.type === 'execute' ? effect.calls.map(({ callId }) => callId) : []))
  const submit = (from: number, hashes: readonly string[]): number[] => {
    const specs = hashes.map((hash, index) => ({
      no: from + index,
      operation: `${hash}#default` as OperationHash,
      args: value,
      needs: noNeeds,
      options: defaultTaskOptions,
      parent: null,
    }))
    return callsOf(step(state, { type: 'tasks-submitted', at: 0, job, name: 'j', specs }))
  }
  step(state, { type: 'processors-changed', at: 0, processors })
  const [callId] = submit(0, ['known'])
  const ended: CallEnded = { callId: callId as number, outcome: { status: 'done', value }, ranMs }
  step(state, { type: 'calls-ended', at: 0, ended: [ended] })
  return submit(1, operations)
}

test('[PL3] a busy processor holds one more call that is known to be short', () => {
  expect(callsAfter(['known', 'known', 'known'], 10)).toHaveLength(2)
})

test.each([
  ['known to be long', ['known', 'known'], 30],
  ['unknown', ['known', 'other'], 10],
] as const)('[PL3] a call that is %s stays where it can be stolen', (_name, operations, ranMs) => {
  expect(callsAfter(operations, ranMs)).toHaveLength(1)
})
