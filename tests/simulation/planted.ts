import {
  type AttemptRef,
  type JobId,
  type Message,
  type Network,
  type OutcomeRecord,
  PackedColumn,
  type RangeValues,
  type ReplicatedRecord,
  type RuntimeOptions,
} from '@shoal/scheduler'
import type { SimMode, SimMutation } from '@shoal/scheduler/testing'

/** A bug that a scheduler could have, planted from outside: between the runtime and its ports. */
export interface PlantedBug {
  readonly name: string
  readonly mode: SimMode
  readonly mutate: SimMutation
}

/** Changes or drops (`null`) what a peer sends. */
function sending(change: (message: Message) => Message | null): SimMutation {
  return (options) =>
    withNetwork(options, (network) => ({
      ...network,
      send: (to, message) => {
        const changed = change(message)
        if (changed !== null) network.send(to, changed)
      },
    }))
}

function withNetwork(options: RuntimeOptions, wrap: (network: Network) => Network): RuntimeOptions {
  return options.network === null ? options : { ...options, network: wrap(options.network) }
}

/** Changes what a peer's replica tells it. */
function reading(change: (record: ReplicatedRecord) => ReplicatedRecord | null): SimMutation {
  return (options) => {
    const { replica } = options
    if (replica === null) return options
    const onRecords: typeof replica.onRecords = (listener) =>
      replica.onRecords((records) => listener(records.map(change).filter((record) => record !== null)))
    return { ...options, replica: { ...replica, onRecords } }
  }
}

/** Changes what a peer writes. */
function writing(change: (record: ReplicatedRecord) => readonly ReplicatedRecord[]): SimMutation {
  return (options) => {
    const { replica } = options
    if (replica === null) return options
    return { ...options, replica: { ...replica, write: (records) => replica.write(records.flatMap(change)) } }
  }
}

/** An executing peer takes orders from owners that it knows to be replaced. */
const noEpochCheck: SimMutation = (options) => {
  const { step } = options
  if (step === undefined) return options
  return {
    ...options,
    step: (state, event) => {
      if (event.type === 'message-received' && event.message.type === 'assign') {
        const known = state.executor.jobs.get(event.message.job)
        if (known !== undefined) {
          known.owner = event.from
          known.epoch = event.message.epoch
        }
        const job = state.jobs.get(event.message.job)
        if (job !== undefined && !job.isMine) job.claim = { peer: event.from, epoch: event.message.epoch }
      }
      return step(state, event)
    },
  }
}

/** A body's inputs change places. */
const wrongInput: SimMutation = (options) => {
  const { host } = options
  const execute: typeof host.execute = (processor, calls) =>
    host.execute(
      processor,
      calls.map((call) => {
        const [first, second, ...rest] = call.inputs
        if (first === undefined || second === undefined) return call
        const inputs = [{ ...first, value: second.value }, { ...second, value: first.value }, ...rest]
        return { ...call, inputs }
      }),
    )
  return { ...options, host: { ...host, execute } }
}

/** An executing peer gives tasks back that it has started, and goes on with them. */
const startedTaskGivenBack: SimMutation = (options) => {
  const asked = new Map<JobId, readonly AttemptRef[]>()
  return withNetwork(options, (network) => ({
    ...network,
    onMessage: (listener) =>
      network.onMessage((from, message) => {
        if (message.type === 'revoke') asked.set(message.job, message.attempts)
        listener(from, message)
      }),
    send: (to, message) => {
      const attempts = message.type === 'revoked' ? asked.get(message.job) : undefined
      network.send(to, attempts === undefined ? message : ({ ...message, attempts } as Message))
    },
  }))
}

/** The results of one message change places. */
const swappedResults = sending((message) => {
  if (message.type !== 'results' || message.results.length < 2) return message
  const outcomes = message.results.map((result) => result.outcome)
  const results = message.results.map((result, index) => ({
    ...result,
    outcome: outcomes[(index + 1) % outcomes.length] ?? result.outcome,
  }))
  return { ...message, results }
})

/** The values of a slice change places. */
const turnedSlice: SimMutation = (options) => {
  const { host } = options
  const turned = (values: RangeValues): RangeValues => {
    const packed = Array.from({ length: values.count }, (_, index) => values.at(index).pack())
    return new PackedColumn(packed.reverse(), false)
  }
  const onEnded: typeof host.onEnded = (listener) =>
    host.onEnded((ended) =>
      listener(
        ended.map((one) =>
          one.outcome.status === 'sliced'
            ? { ...one, outcome: { ...one.outcome, values: turned(one.outcome.values) } }
            : one,
        ),
      ),
    )
  return { ...options, host: { ...host, onEnded } }
}

/** Changes what is written down of a slice that ended well. */
function writingSlices(
  change: (record: OutcomeRecord, count: number, values: RangeValues) => readonly OutcomeRecord[],
): SimMutation {
  return writing((record) => {
    if (record.type !== 'outcomes') return [record]
    const outcomes = record.outcomes.flatMap((one) => {
      const { count = 1, outcome } = one
      return count === 1 || outcome.status !== 'done'
        ? [one]
        : change(one, count, outcome.value as RangeValues)
    })
    return outcomes.length === 0 ? [] : [{ ...record, outcomes }]
  })
}

/** A part of a slice's record. */
function partOf(record: OutcomeRecord, values: RangeValues, from: number, to: number): OutcomeRecord {
  const value = to - from === 1 ? values.at(from) : values.slice(from, to)
  return {
    no: record.no + from,
    count: to - from,
    outcome: { ...record.outcome, value } as typeof record.outcome,
  }
}

const deafToDeath: SimMutation = (options) =>
  withNetwork(options, (network) => ({
    ...network,
    onView: (listener) => network.onView((event) => event.type !== 'peer-left' && listener(event)),
  }))

/** Every death counts, whatever else died meanwhile, and a task goes back to where it was lost. */
export const blamesBystanders: SimMutation = (options) => {
  const { step } = options
  if (step === undefined) return options
  return {
    ...options,
    step: (state, event) => {
      state.deathsAt = []
      Object.assign(state.config, { elsewhereMs: 0 })
      return step(state, event)
    },
  }
}

/** Each must be found within 500 seeds. */
export const plantedBugs: readonly PlantedBug[] = [
  { name: 'no epoch check', mode: 'liveness', mutate: noEpochCheck },
  {
    name: 'double commit',
    mode: 'safety',
    mutate: writing((record) => (record.type === 'outcomes' ? [record, record] : [record])),
  },
  {
    name: 'lost acknowledgement of a result',
    mode: 'liveness',
    mutate: sending((message) => (message.type === 'commit' ? null : message)),
  },
  {
    name: 'takeover without a claim',
    mode: 'safety',
    mutate: writing((record) => (record.type === 'claim' ? [] : [record])),
  },
  {
    name: 'takeover at the old epoch',
    mode: 'safety',
    mutate: writing((record) =>
      record.type === 'claim' ? [{ ...record, epoch: record.epoch - 1 }] : [record],
    ),
  },
  {
    name: 'an owner deaf to newer claims',
    mode: 'liveness',
    mutate: (options, peer, rng) =>
      reading((record) => (record.type === 'claim' ? null : record))(
        sending((message) => (message.type === 'stale' ? null : message))(options, peer, rng),
        peer,
        rng,
      ),
  },
  {
    name: 'the highest epoch’s outcome wins',
    mode: 'liveness',
    mutate: reading((record) =>
      record.type === 'outcomes' ? { ...record, epoch: 2 - record.epoch } : record,
    ),
  },
  {
    name: 'lost request of a body for children',
    mode: 'liveness',
    mutate: sending((message) => (message.type === 'submit' ? null : message)),
  },
  { name: 'wrong value for an input', mode: 'safety', mutate: wrongInput },
  { name: 'started task given back', mode: 'liveness', mutate: startedTaskGivenBack },
  { name: 'results of two tasks exchanged', mode: 'safety', mutate: swappedResults },
  { name: 'values of a slice exchanged', mode: 'safety', mutate: turnedSlice },
  {
    name: 'the second half of a slice is not written down',
    mode: 'liveness',
    mutate: writingSlices((record, count, values) => [partOf(record, values, 0, Math.ceil(count / 2))]),
  },
  {
    name: 'the second half of a slice is counted twice',
    mode: 'safety',
    mutate: writingSlices((record, count, values) => [
      record,
      partOf(record, values, Math.floor(count / 2), count),
    ]),
  },
  {
    name: 'the second half of a range is lost on its way to a member',
    mode: 'liveness',
    mutate: reading((record) => {
      if (record.type !== 'range') return record
      const { range } = record
      return { ...record, range: { ...range, items: range.items.slice(0, Math.ceil(range.items.count / 2)) } }
    }),
  },
  {
    name: 'nobody hears that a job ended',
    mode: 'liveness',
    mutate: writing((record) => (record.type === 'ended' ? [] : [record])),
  },
  { name: 'a dead peer keeps its tasks', mode: 'liveness', mutate: deafToDeath },
]
