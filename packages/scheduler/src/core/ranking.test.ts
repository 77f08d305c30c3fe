import { expect, test } from 'vitest'
import type { JobId, OperationHash, PeerId } from '../model/ids.ts'
import { PackedPayload } from '../model/payload.ts'
import { processorId } from '../model/processor.ts'
import type { Scope } from '../model/scope.ts'
import { defaultTaskOptions, noNeeds, type TaskSpec } from '../model/task.ts'
import type { Event } from './events.ts'
import { assertInvariants } from './invariants.ts'
import { createState } from './state.ts'
import { step } from './step.ts'

const self = 'me' as PeerId
const job = 'job' as JobId
const operation = 'blur' as OperationHash
const worker = processorId(self, 'worker', 0)
const gpu = processorId(self, 'webgpu', 0)
/** What a kernel with a `fallback` gets: GPUs and workers. */
const either: Scope = {
  type: 'union',
  scopes: [
    { type: 'kind', kind: 'webgpu' },
    { type: 'kind', kind: 'worker' },
  ],
}

function spec(no: number): TaskSpec {
  const options = { ...defaultTaskOptions, scope: either }
  return { no, operation, args: new PackedPayload(Uint8Array.of(no)), needs: noNeeds, options, parent: null }
}

/** One worker and one GPU of these scores. */
function world(scores: { readonly worker: number; readonly webgpu: number }) {
  const state = createState({ self, epoch: 1, role: 'member', name: self, isReplicated: false })
  const feed = (event: Omit<Event, 'at'>): void => {
    step(state, { ...event, at: 0 } as Event)
    assertInvariants(state)
  }
  const processors = [
    { id: worker, kind: 'worker', isDefault: true, score: scores.worker },
    { id: gpu, kind: 'webgpu', isDefault: false, score: scores.webgpu },
  ]
  feed({ type: 'processors-changed', processors } as never)
  let no = 0
  return {
    /** Where the next `count` tasks went, submitted at once, in the order of their ends. */
    run(ranMs: { readonly worker: number; readonly webgpu: number }, count = 1): string[] {
      const specs = Array.from({ length: count }, () => spec(no++))
      feed({ type: 'tasks-submitted', job, name: 'job', specs } as never)
      const kinds: ('worker' | 'webgpu')[] = []
      while (kinds.length < count) {
        const [callId, held] = [...state.executor.calls][0] ?? []
        const kind = held?.processor === gpu ? 'webgpu' : 'worker'
        const outcome = { status: 'done', value: new PackedPayload(Uint8Array.of(0)) }
        feed({ type: 'calls-ended', ended: [{ callId, outcome, ranMs: ranMs[kind] }] } as never)
        kinds.push(kind)
      }
      return kinds
    },
  }
}

test.each([
  { worker: 4, webgpu: 0.5, expected: 'worker' },
  { worker: 0.5, webgpu: 4, expected: 'webgpu' },
])('[GP6][PL1] of a worker of speed $worker and a GPU of speed $webgpu the $expected gets it', (row) => {
  const { run } = world(row)
  const ranMs = { worker: 10 / row.worker, webgpu: 10 / row.webgpu }
  for (let round = 0; round < 3; round++) expect(run(ranMs)).toEqual([row.expected])
})

test.each([
  { worker: 1, webgpu: 4, slow: 'webgpu', quick: 'worker' },
  { worker: 4, webgpu: 1, slow: 'worker', quick: 'webgpu' },
])('[GP6][PL1] once both ran an operation its runs decide: from the $slow to the $quick', (row) => {
  const { run } = world(row)
  const ranMs = row.slow === 'webgpu' ? { worker: 20, webgpu: 400 } : { worker: 400, webgpu: 20 }
  expect(run(ranMs)).toEqual([row.slow])
  expect(run(ranMs, 8)).toContain(row.quick)
  for (let round = 0; round < 3; round++) expect(run(ranMs)).toEqual([row.quick])
})
