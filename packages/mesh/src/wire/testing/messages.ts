import {
  type Assignment,
  type AttemptRef,
  type AttemptResult,
  type Ballot,
  type CallerId,
  type ChunkId,
  ChunkPayload,
  defaultTaskOptions,
  type ErrorRecord,
  type JobId,
  type JournalEntry,
  type Message,
  type OperationHash,
  PackedColumn,
  PackedPayload,
  type PeerId,
  type ProcessorId,
  type ServiceClaim,
  type ServiceId,
  type ServiceMessage,
  type ServiceReply,
  type ServiceSnapshot,
  type ServiceSpec,
  type SliceAssignment,
} from '@shoal/scheduler'

export const self: PeerId = 'peer-1' as PeerId
export const job: JobId = 'job-1' as JobId
const other = 'job-2' as JobId
export const operation: OperationHash = `${'ab'.repeat(32)}#add1` as OperationHash
export const processor: ProcessorId = 'peer-1/worker/0' as ProcessorId
export const service: ServiceId = 'service-1' as ServiceId
const caller: CallerId = 'peer-1@3' as CallerId
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
const home = 'peer-2' as PeerId
export const chunk: ChunkPayload = new ChunkPayload(
  { id: 'peer-2.1.7' as ChunkId, sizeBytes: 70_000, hash: new Uint8Array(32).fill(5), home },
  { job, no: 4 },
  [home, self],
)
const numbers = new PackedColumn(Float64Array.of(1, 2, 0.5), false)
const parts = new PackedColumn([new Uint8Array(0), Uint8Array.of(3, 4)], true)
/** Several tasks as one attempt. */
export const slice: SliceAssignment = {
  ...assignment,
  args: payload(),
  inputs: [],
  timeoutMs: 0,
  items: new PackedColumn(Float64Array.of(5, 6, 7), true),
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
  { no: 6, attempt: 1, outcome: { status: 'unfed', error }, ranMs: 0 },
  { no: 7, attempt: 1, outcome: { status: 'done', value: chunk }, ranMs: 2 },
  { no: 8, attempt: 2, count: 256, outcome: { status: 'lost' }, ranMs: 0 },
  { no: 300, attempt: 4, count: 4, outcome: { status: 'sliced', values: numbers, apart: [] }, ranMs: 0.5 },
  {
    no: 304,
    attempt: 5,
    count: 3,
    outcome: {
      status: 'sliced',
      values: parts,
      apart: [
        { index: 0, outcome: { status: 'failed', error } },
        { index: 1, outcome: { status: 'done', value: chunk } },
      ],
    },
    ranMs: 0.5,
  },
]

/** One message of each type, with something in every field. For tests. */
export const every: { readonly [T in Message['type']]: Extract<Message, { readonly type: T }> } = {
  profile: {
    type: 'profile',
    wantsYours: true,
    profile: {
      name: 'Ann’s laptop',
      processors: [{ id: processor, kind: 'worker', isDefault: true, score: 1.5 }],
    },
  },
  assign: {
    type: 'assign',
    job,
    epoch: 1,
    tasks: [assignment, slice, { ...assignment, no: 4, inputs: [], args: chunk, remakes: chunk.ref.id }],
  },
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
    running: [
      { no: 1, attempt: 1, processor },
      { no: 2, attempt: 2, processor, count: 200 },
    ],
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
        chunks: [
          { index: 1, chunk },
          { index: -1, chunk },
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
              { type: 'except', scope: { type: 'processor', processor } },
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
  service: {
    type: 'service',
    service,
    body: { type: 'call', caller, open: 3, calls: [{ no: 3, method: 'add', args: payload(1), via: [] }] },
  },
  holds: {
    type: 'holds',
    chunks: [
      { id: chunk.ref.id, task: chunk.task },
      { id: chunk.ref.id, task: null },
    ],
    isAll: true,
  },
  free: { type: 'free', chunks: [chunk.ref.id] },
  want: { type: 'want', chunk, wish: 'find' },
  located: { type: 'located', chunk: chunk.ref.id, wish: 'find', holders: [home], error },
}

const claim: ServiceClaim = {
  epoch: 4,
  host: self,
  follower: 'peer-2' as PeerId,
  voters: [
    { peer: self, epoch: 1 },
    { peer: 'peer-2' as PeerId, epoch: 7 },
  ],
  end: null,
}
const ballot: Ballot = { round: 2, peer: self }
const replies: readonly ServiceReply[] = [
  { no: 1, outcome: { status: 'done', value: payload(7) } },
  { no: 2, outcome: { status: 'failed', error } },
]
const snapshot: ServiceSnapshot = {
  seq: 8,
  state: payload(5, 5),
  callers: [{ caller, done: 9, replies }],
}
const entries: readonly JournalEntry[] = [
  { seq: 9, caller, no: 10, method: 'add', args: payload(1), via: [service] },
  { seq: 10, caller: 'peer-3@2' as CallerId, no: 1, method: 'get', args: payload(), via: [] },
]
const spec: ServiceSpec = {
  id: service,
  name: 'Ännas counter',
  operation,
  args: payload(3),
  durability: 'journal',
  consistency: 'strict',
  every: 100,
}

/** One message about a service of each type, with something in every field. For tests. */
export const everyService: {
  readonly [T in ServiceMessage['type']]: Extract<ServiceMessage, { readonly type: T }>
} = {
  call: {
    type: 'call',
    caller,
    open: 2,
    calls: [
      { no: 2, method: 'add', args: payload(1), via: [] },
      { no: 3, method: 'ädd', args: payload(1, 2), via: [service, 'service-2' as ServiceId] },
    ],
  },
  replies: { type: 'replies', caller, replies },
  order: { type: 'order', order: { type: 'migrate', to: self } },
  'order-failed': { type: 'order-failed', order: { type: 'delete' }, error },
  install: { type: 'install', spec, copy: 3, snapshot, entries },
  append: { type: 'append', epoch: 4, copy: 3, snapshot: null, entries },
  appended: { type: 'appended', copy: 3, seq: 10 },
  'append-refused': { type: 'append-refused', copy: 3, reason: 'paused' },
  prepare: { type: 'prepare', claim, ballot },
  promise: { type: 'promise', epoch: 4, ballot, accepted: { ballot, next: claim } },
  accept: { type: 'accept', claim, ballot, next: { ...claim, follower: null, end: 'lost' } },
  accepted: { type: 'accepted', epoch: 4, ballot },
  'vote-refused': { type: 'vote-refused', epoch: 4, ballot, reason: 'promised', promised: ballot },
  claimed: { type: 'claimed', claim },
  ended: { type: 'ended', epoch: 4, reason: 'lost' },
  'hand-over': { type: 'hand-over', claim, isFirst: true, isLeaving: false, seq: 10 },
  name: { type: 'name', name: 'counter' },
  'name-holder': { type: 'name-holder', name: 'counter', holder: service },
  unknown: { type: 'unknown' },
}

/** Each of {@link everyService} as it travels. */
export const serviceMessages: readonly Extract<Message, { readonly type: 'service' }>[] = Object.values(
  everyService,
).map((body) => ({ type: 'service', service, body }))
