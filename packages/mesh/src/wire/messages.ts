import {
  columnMax,
  type JobId,
  type Message,
  type MessageOf,
  type OutcomeRecord,
  type PeerId,
  type ProcessorId,
  peerOfProcessor,
  type RunningAttempt,
  ShoalError,
  type SpawnRequest,
} from '@shoal/scheduler'
import { limits } from '../limits.ts'
import {
  readAssignments,
  readRefs,
  readResults,
  writeAssignments,
  writeRefs,
  writeResults,
} from './attempts.ts'
import { readChunkMessage, readChunkNeeds, writeChunkMessage, writeChunkNeeds } from './chunk-messages.ts'
import { asServiceId } from './service-claims.ts'
import { readServiceMessage, writeServiceMessage } from './services.ts'
import {
  asBoolean,
  asId,
  asJobId,
  asList,
  asNumber,
  asOperationHash,
  asProcessorId,
  asText,
  asTuple,
  asUint,
  fitText,
  schemaError,
} from './validate.ts'
import {
  asFlat,
  readNeeds,
  readNo,
  readOptions,
  readOutcome,
  readPayload,
  writeNeeds,
  writeOptions,
  writeOutcome,
} from './values.ts'

/** Numbers are for ever, as those of the frames. */
export const messageCodes: Readonly<Record<Message['type'], number>> = {
  profile: 1,
  assign: 2,
  revoke: 3,
  abort: 4,
  commit: 5,
  adopt: 6,
  audit: 7,
  results: 8,
  revoked: 9,
  holdings: 10,
  stale: 11,
  submit: 12,
  submitted: 13,
  watch: 14,
  outcomes: 15,
  cancel: 16,
  service: 17,
  holds: 20,
  free: 21,
  want: 22,
  located: 23,
}

const typeOf: ReadonlyMap<unknown, Message['type']> = new Map(
  Object.entries(messageCodes).map(([type, code]) => [code, type as Message['type']]),
)

/** Largest number of entries in one list: above what a sender puts in one message, below any harm. */
const entriesMax = limits.batchEntriesMax * 4

/**
 * The plain lists that a message travels as. No map ever crosses the wire: fields go by place.
 * @throws ShoalError `E_NOT_SERIALIZABLE` from a payload that cannot be packed
 */
export function writeMessage(message: Message): readonly unknown[] {
  const code = messageCodes[message.type]
  switch (message.type) {
    case 'profile':
      return writeProfile(message)
    case 'assign':
      return [code, message.job, message.epoch, ...writeAssignments(message.tasks)]
    case 'revoke':
    case 'abort':
    case 'commit':
    case 'audit':
    case 'revoked':
      return [code, message.job, message.epoch, writeRefs(message.attempts)]
    case 'adopt':
    case 'stale':
      return [code, message.job, message.epoch]
    case 'results':
      return [code, message.job, message.epoch, writeResults(message.results)]
    case 'holdings': {
      const running = message.running.flatMap((one) => [one.no, one.attempt, one.processor, one.count ?? 1])
      const results = writeResults(message.results)
      return [code, message.job, message.epoch, running, results, writeRefs(message.unknown)]
    }
    case 'submit':
      return writeSubmit(message)
    case 'submitted': {
      const accepted = message.accepted.flatMap((one) => [one.seq, one.no])
      return [code, message.job, message.parent.no, message.parent.attempt, accepted]
    }
    case 'watch':
      return [code, message.job, message.nos]
    case 'outcomes':
      return [code, message.job, message.outcomes.map((one) => [one.no, writeOutcome(one.outcome)])]
    case 'cancel':
      return [code, message.job, message.nos, fitText(message.reason)]
    case 'service':
      return [code, message.service, writeServiceMessage(message.body)]
    case 'holds':
    case 'free':
    case 'want':
    case 'located':
      return [code, ...writeChunkMessage(message)]
  }
}

/**
 * Reads one message that `from` sent.
 * @throws ShoalError `E_SCHEMA`
 */
export function readMessage(value: unknown, from: PeerId): Message {
  if (!Array.isArray(value)) throw schemaError('a message', 'a list', value)
  const type = typeOf.get(value[0])
  switch (type) {
    case undefined:
      throw schemaError('the type of a message', 'a known number', value[0])
    case 'profile':
      return readProfile(value, from)
    case 'assign': {
      const [, job, epoch, processors, operations, rows, extras] = asTuple(value, 7, type)
      const tasks = readAssignments(processors, operations, rows, extras)
      return { type, job: readJob(job), epoch: readEpoch(epoch), tasks }
    }
    case 'revoke':
    case 'abort':
    case 'commit':
    case 'audit':
    case 'revoked': {
      const [, job, epoch, refs] = asTuple(value, 4, type)
      return { type, job: readJob(job), epoch: readEpoch(epoch), attempts: readRefs(refs) }
    }
    case 'adopt':
    case 'stale': {
      const [, job, epoch] = asTuple(value, 3, type)
      return { type, job: readJob(job), epoch: readEpoch(epoch) }
    }
    case 'results': {
      const [, job, epoch, results] = asTuple(value, 4, type)
      return { type, job: readJob(job), epoch: readEpoch(epoch), results: readResults(results) }
    }
    case 'holdings':
      return readHoldings(value)
    case 'submit':
      return readSubmit(value)
    case 'submitted':
      return readSubmitted(value)
    case 'watch': {
      const [, job, nos] = asTuple(value, 3, type)
      return { type, job: readJob(job), nos: readNos(nos) }
    }
    case 'outcomes': {
      const [, job, outcomes] = asTuple(value, 3, type)
      return { type, job: readJob(job), outcomes: asList(outcomes, entriesMax, 'outcomes', readRecord) }
    }
    case 'cancel': {
      const [, job, nos, reason] = asTuple(value, 4, type)
      return {
        type,
        job: readJob(job),
        nos: nos === null ? null : readNos(nos),
        reason: asText(reason, 'a reason'),
      }
    }
    case 'service': {
      const [, id, body] = asTuple(value, 3, type)
      const service = asServiceId(id)
      return { type, service, body: readServiceMessage(body, service) }
    }
    case 'holds':
    case 'free':
    case 'want':
    case 'located':
      return readChunkMessage(type, value)
  }
}

function writeProfile({ profile, wantsYours }: MessageOf<'profile'>): readonly unknown[] {
  const processors = profile.processors.map((one) => [one.id, one.kind, one.isDefault, one.score])
  return [messageCodes.profile, fitText(profile.name), processors, wantsYours]
}

function readProfile(value: unknown, from: PeerId): Message {
  const [, name, processors, wantsYours] = asTuple(value, 4, 'profile')
  return {
    type: 'profile',
    wantsYours: asBoolean(wantsYours, 'wantsYours'),
    profile: {
      name: asText(name, 'the name of a peer'),
      processors: asList(processors, limits.processorsMax, 'processors', (item) => {
        const [id, kind, isDefault, score] = asTuple(item, 4, 'a processor')
        const processor = asProcessorId(id, 'a processor')
        if (peerOfProcessor(processor) !== from) throw notTheirs(processor, from)
        return {
          id: processor,
          kind: asId(kind, 'the kind of a processor'),
          isDefault: asBoolean(isDefault, 'isDefault'),
          score: asNumber(score, 'a score', 0, 1e9),
        }
      }),
    },
  }
}

function readHoldings(value: unknown): Message {
  const [, job, epoch, runningList, results, unknown] = asTuple(value, 6, 'holdings')
  const flat = asFlat(runningList, 4, 'running')
  const running: RunningAttempt[] = []
  for (let at = 0; at < flat.length; at += 4) {
    const one = {
      no: readNo(flat[at]),
      attempt: asUint(flat[at + 1], 'an attempt'),
      processor: asProcessorId(flat[at + 2], 'a processor'),
    }
    const count = asNumber(flat[at + 3], 'the tasks of an attempt', 1, columnMax)
    running.push(count === 1 ? one : { ...one, count: asUint(count, 'the tasks of an attempt') })
  }
  return {
    type: 'holdings',
    job: readJob(job),
    epoch: readEpoch(epoch),
    running,
    results: readResults(results),
    unknown: readRefs(unknown),
  }
}

function writeSubmit(message: MessageOf<'submit'>): readonly unknown[] {
  const { job, parent } = message
  const requests = message.requests.map((one) => [
    one.seq,
    one.operation,
    one.args.pack(),
    [...writeNeeds(one.needs, job), ...writeChunkNeeds(one.chunks)],
    writeOptions(one.options),
  ])
  return [messageCodes.submit, job, parent.no, parent.attempt, requests]
}

function readSubmit(value: unknown): Message {
  const [, jobId, no, attempt, requests] = asTuple(value, 5, 'submit')
  const job = readJob(jobId)
  return {
    type: 'submit',
    job,
    parent: { no: readNo(no), attempt: asUint(attempt, 'an attempt') },
    requests: asList(requests, entriesMax, 'requests', (item): SpawnRequest => {
      const [seq, operation, args, needs, options] = asTuple(item, 5, 'a request')
      return {
        seq: asUint(seq, 'the sequence of a request'),
        operation: asOperationHash(operation, 'an operation'),
        args: readPayload(args),
        needs: readNeeds(needs, job),
        ...readChunkNeeds(needs),
        options: readOptions(options),
      }
    }),
  }
}

function readSubmitted(value: unknown): Message {
  const [, job, no, attempt, accepted] = asTuple(value, 5, 'submitted')
  const flat = asFlat(accepted, 2, 'accepted')
  const pairs: { readonly seq: number; readonly no: number }[] = []
  for (let at = 0; at < flat.length; at += 2) {
    pairs.push({ seq: asUint(flat[at], 'the sequence of a request'), no: readNo(flat[at + 1]) })
  }
  const parent = { no: readNo(no), attempt: asUint(attempt, 'an attempt') }
  return { type: 'submitted', job: readJob(job), parent, accepted: pairs }
}

function readRecord(value: unknown): OutcomeRecord {
  const [no, outcome] = asTuple(value, 2, 'an outcome record')
  return { no: readNo(no), outcome: readOutcome(outcome) }
}

function readNos(value: unknown): readonly number[] {
  return asList(value, entriesMax, 'task numbers', readNo)
}

function readJob(value: unknown): JobId {
  return asJobId(value, 'a job')
}

function readEpoch(value: unknown): number {
  return asUint(value, 'an epoch')
}

/** A peer speaks for itself only. */
export function notTheirs(processor: ProcessorId, from: PeerId): ShoalError {
  const text = `Cannot take a processor from ${from} as it must be one of its own: current value is ${processor}`
  return new ShoalError('E_FORBIDDEN', text)
}
