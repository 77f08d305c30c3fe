import {
  type Assignment,
  type AttemptRef,
  type AttemptResult,
  defaultTaskOptions,
  type ErrorRecord,
  type JobId,
  type Message,
  type OperationHash,
  PackedPayload,
  type PeerId,
  type ProcessorId,
} from '@shoal/scheduler'

export const self: PeerId = 'peer-1' as PeerId
export const job: JobId = 'job-1' as JobId
const other = 'job-2' as JobId
export const operation: OperationHash = `${'ab'.repeat(32)}#add1` as OperationHash
export const processor: ProcessorId = 'peer-1/worker/0' as ProcessorId
export const payload = (...bytes: number[]): PackedPayload => new PackedPayload(Uint8Array.from(bytes))
export const error: ErrorRecord = {
  name: 'TypeError',
  message: 'x is no function',
  code: 'E_X',
  stack: 'TypeError: x\n  at y',
  cause: { name: 'Error', message: '', code: null, stack: null, cause: null, fields: null },
  fields: Uint8Array.from([1, 2]),
}
export const assignment: Assignment = {
  no: 3,
  attempt: 2 ** 40,
  processor,
  operation,
  args: payload(1, 2, 3),
  inputs: [{ index: 1, value: payload(9) }],
  timeoutMs: 1500,
}
export const attempts: readonly AttemptRef[] = [
  { no: 1, attempt: 2 },
  { no: 2 ** 24, attempt: 3 },
]
export const results: readonly [AttemptResult, ...AttemptResult[]] = [
  { no: 1, attempt: 1, outcome: { status: 'done', value: payload(7) }, ranMs: 1.25 },
  { no: 2, attempt: 1, outcome: { status: 'failed', error }, ranMs: 0 },
  { no: 3, attempt: 1, outcome: { status: 'cancelled', reason: 'enough' }, ranMs: 0 },
  { no: 4, attempt: 1, outcome: { status: 'lost' }, ranMs: 0 },
  { no: 5, attempt: 1, outcome: { status: 'refused' }, ranMs: 0 },
]

/** One message of each type, with something in every field. For tests. */
export const every: {
  readonly [T in Exclude<Message['type'], 'service'>]: Extract<Message, { readonly type: T }>
} = {
  profile: {
    type: 'profile',
    wantsYours: true,
    profile: {
      name: 'Ann’s laptop',
      processors: [{ id: processor, kind: 'worker', isDefault: true, score: 1.5 }],
    },
  },
  assign: { type: 'assign', job, epoch: 1, tasks: [assignment, { ...assignment, no: 4, inputs: [] }] },
  revoke: { type: 'revoke', job, epoch: 1, attempts },
  abort: { type: 'abort', job, epoch: 1, attempts },
  commit: { type: 'commit', job, epoch: 1, attempts },
  adopt: { type: 'adopt', job, epoch: 2 },
  audit: { type: 'audit', job, epoch: 1, attempts: [] },
  results: { type: 'results', job, epoch: 1, results },
  revoked: { type: 'revoked', job, epoch: 1, attempts },
  holdings: {
    type: 'holdings',
    job,
    epoch: 2,
    running: [{ no: 1, attempt: 1, processor }],
    results,
    unknown: attempts,
  },
  stale: { type: 'stale', job, epoch: 3 },
  submit: {
    type: 'submit',
    job,
    parent: { no: 1, attempt: 1 },
    requests: [
      { seq: 0, operation, args: payload(), needs: [], options: defaultTaskOptions },
      {
        seq: 1,
        operation,
        args: payload(1),
        needs: [
          { index: 0, task: { job, no: 4 } },
          { index: -1, task: { job: other, no: 5 } },
        ],
        options: {
          name: 'a name',
          scope: {
            type: 'union',
            scopes: [
              { type: 'any' },
              {
                type: 'intersect',
                scopes: [
                  { type: 'kind', kind: 'webgpu' },
                  { type: 'peer', peer: self },
                ],
              },
              { type: 'processor', processor },
            ],
          },
          priority: -2,
          retryMax: 3,
          retryBackoffMs: 100,
          timeoutMs: 5000,
        },
      },
    ],
  },
  submitted: { type: 'submitted', job, parent: { no: 1, attempt: 1 }, accepted: [{ seq: 0, no: 2 ** 24 }] },
  watch: { type: 'watch', job, nos: [1, 2, 3] },
  outcomes: {
    type: 'outcomes',
    job,
    outcomes: [
      { no: 1, outcome: { status: 'done', value: payload(1), processor } },
      { no: 2, outcome: { status: 'failed', error, origin: { job: other, no: 1 }, attempts: 4, peer: self } },
      { no: 3, outcome: { status: 'cancelled', reason: 'enough' } },
    ],
  },
  cancel: { type: 'cancel', job, nos: null, reason: 'no longer needed' },
}
