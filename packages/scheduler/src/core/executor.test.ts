import { expect, test } from 'vitest'
import type { JobId, OperationHash, PeerId, ProcessorId } from '../model/ids.ts'
import { PackedPayload } from '../model/payload.ts'
import { processorId } from '../model/processor.ts'
import { defaultTaskOptions, noNeeds } from '../model/task.ts'
import type { Effect } from './effects.ts'
import type { CallEnded } from './events.ts'
import { assertInvariants } from './invariants.ts'
import { createState } from './state.ts'
import { step } from './step.ts'

const me = 'me' as PeerId
const job = 'job' as JobId
const value = new PackedPayload(Uint8Array.of(1))

function callsOf(effects: readonly Effect[]): number[] {
  return effects.flatMap((effect) =>
    effect.type === 'execute' ? effect.calls.map(({ callId }) => callId) : [],
  )
}

/** One worker that has run one call of `operation`, which took `ranMs`; gives the calls of two more. */
function callsAfter(operations: readonly string[], ranMs: number): number[] {
  const state = createState({ self: me, epoch: 1, role: 'member', name: 'me', isReplicated: false })
  const processors = [{ id: processorId(me, 'worker', 0), kind: 'worker', isDefault: true, score: 1 }]
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

test('[RC7] a processor that is lent again is free, whatever still runs on the one before it', () => {
  const state = createState({ self: me, epoch: 1, role: 'member', name: 'me', isReplicated: false })
  const processors = [{ id: processorId(me, 'worker', 0), kind: 'worker', isDefault: true, score: 1 }]
  const specs = [0, 1].map((no) => ({
    no,
    operation: 'op#default' as OperationHash,
    args: value,
    needs: noNeeds,
    options: defaultTaskOptions,
    parent: null,
  }))
  step(state, { type: 'processors-changed', at: 0, processors })
  const before = step(state, { type: 'tasks-submitted', at: 0, job, name: 'j', specs: specs.slice(0, 1) })
  step(state, { type: 'processors-changed', at: 1, processors: [] })
  step(state, { type: 'processors-changed', at: 2, processors })
  const after = step(state, { type: 'tasks-submitted', at: 2, job, name: 'j', specs: specs.slice(1) })
  assertInvariants(state)

  for (const effects of [before, after]) {
    const [callId] = callsOf(effects)
    const ended: CallEnded = { callId: callId as number, outcome: { status: 'done', value }, ranMs: 1 }
    step(state, { type: 'calls-ended', at: 3, ended: [ended] })
    assertInvariants(state)
  }

  expect(state.executor.processors.get(processors[0]?.id as ProcessorId)?.running).toBe(0)
})
