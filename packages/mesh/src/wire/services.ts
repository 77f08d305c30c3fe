import type {
  Ballot,
  CallerId,
  CallerRecord,
  CallOutcome,
  JournalEntry,
  ServiceCall,
  ServiceClaim,
  ServiceId,
  ServiceMessage,
  ServiceOrder,
  ServiceReply,
  ServiceSnapshot,
  ServiceSpec,
} from '@shoal/scheduler'
import { limits } from '../limits.ts'
import {
  asServiceId,
  oneOf,
  readServiceClaim,
  readServiceEnd,
  readServiceName,
  readServiceSpec,
  writeServiceClaim,
  writeServiceEnd,
  writeServiceSpec,
} from './service-claims.ts'
import { asBoolean, asId, asList, asPeerId, asText, asTuple, asUint, schemaError } from './validate.ts'
import {
  asFlat,
  readAttemptOutcome,
  readError,
  readPayload,
  writeAttemptOutcome,
  writeError,
} from './values.ts'

/** Numbers are for ever, as those of the messages. */
export const serviceCodes: Readonly<Record<ServiceMessage['type'], number>> = {
  call: 1,
  replies: 2,
  order: 3,
  'order-failed': 4,
  install: 5,
  append: 6,
  appended: 7,
  'append-refused': 8,
  prepare: 9,
  promise: 10,
  accept: 11,
  accepted: 12,
  'vote-refused': 13,
  claimed: 14,
  ended: 15,
  'hand-over': 16,
  name: 17,
  'name-holder': 18,
  unknown: 19,
}

const typeOf: ReadonlyMap<unknown, ServiceMessage['type']> = new Map(
  Object.entries(serviceCodes).map(([type, code]) => [code, type as ServiceMessage['type']]),
)

const refusals = ['missing', 'paused'] as const
const vetoes = ['promised', 'restarted'] as const

/** The plain list that a message about a service travels as. */
export function writeServiceMessage(message: ServiceMessage): readonly unknown[] {
  const code = serviceCodes[message.type]
  switch (message.type) {
    case 'call':
      return [code, message.caller, message.open, message.calls.flatMap(writeCall)]
    case 'replies':
      return [code, message.caller, message.replies.flatMap(writeReply)]
    case 'order':
      return [code, writeOrder(message.order)]
    case 'order-failed':
      return [code, writeOrder(message.order), writeError(message.error, 0)]
    case 'install': {
      const { spec, copy, snapshot, entries } = message
      return [code, writeServiceSpec(spec), copy, writeSnapshot(snapshot), ...writeEntries(entries)]
    }
    case 'append': {
      const { epoch, copy, snapshot, entries } = message
      return [code, epoch, copy, snapshot === null ? null : writeSnapshot(snapshot), ...writeEntries(entries)]
    }
    case 'appended':
      return [code, message.copy, message.seq]
    case 'append-refused':
      return [code, message.copy, refusals.indexOf(message.reason)]
    case 'prepare':
      return [code, writeServiceClaim(message.claim), writeBallot(message.ballot)]
    case 'promise': {
      const { epoch, ballot, accepted } = message
      const before =
        accepted === null ? null : [writeBallot(accepted.ballot), writeServiceClaim(accepted.next)]
      return [code, epoch, writeBallot(ballot), before]
    }
    case 'accept': {
      const { claim, ballot, next } = message
      return [code, writeServiceClaim(claim), writeBallot(ballot), writeServiceClaim(next)]
    }
    case 'accepted':
      return [code, message.epoch, writeBallot(message.ballot)]
    case 'vote-refused': {
      const { epoch, ballot, reason, promised } = message
      return [
        code,
        epoch,
        writeBallot(ballot),
        vetoes.indexOf(reason),
        promised === null ? null : writeBallot(promised),
      ]
    }
    case 'claimed':
      return [code, writeServiceClaim(message.claim)]
    case 'hand-over':
      return [code, writeServiceClaim(message.claim), message.isFirst, message.isLeaving, message.seq]
    case 'ended':
      return [code, message.epoch, writeServiceEnd(message.reason)]
    case 'name':
      return [code, message.name]
    case 'name-holder':
      return [code, message.name, message.holder]
    case 'unknown':
      return [code]
  }
}

/**
 * Reads what a peer says about `service`.
 * @throws ShoalError `E_SCHEMA`
 */
export function readServiceMessage(value: unknown, service: ServiceId): ServiceMessage {
  if (!Array.isArray(value)) throw schemaError('a message about a service', 'a list', value)
  const type = typeOf.get(value[0])
  switch (type) {
    case undefined:
      throw schemaError('the type of a message about a service', 'a known number', value[0])
    case 'call': {
      const [, caller, open, calls] = asTuple(value, 4, type)
      return { type, caller: readCaller(caller), open: readCallNo(open), calls: readCalls(calls) }
    }
    case 'replies': {
      const [, caller, replies] = asTuple(value, 3, type)
      return { type, caller: readCaller(caller), replies: readReplies(replies) }
    }
    case 'order':
      return { type, order: readOrder(asTuple(value, 2, type)[1]) }
    case 'order-failed': {
      const [, order, error] = asTuple(value, 3, type)
      return { type, order: readOrder(order), error: readError(error, 0) }
    }
    case 'install': {
      const [, spec, copy, snapshot, callers, entries] = asTuple(value, 6, type)
      return {
        type,
        spec: specOf(spec, service),
        copy: asUint(copy, 'the number of a copy'),
        snapshot: readSnapshot(snapshot),
        entries: readEntries(callers, entries),
      }
    }
    case 'append': {
      const [, epoch, copy, snapshot, callers, entries] = asTuple(value, 6, type)
      return {
        type,
        epoch: asUint(epoch, 'an epoch'),
        copy: asUint(copy, 'the number of a copy'),
        snapshot: snapshot === null ? null : readSnapshot(snapshot),
        entries: readEntries(callers, entries),
      }
    }
    case 'appended': {
      const [, copy, seq] = asTuple(value, 3, type)
      return { type, copy: asUint(copy, 'the number of a copy'), seq: readSeq(seq) }
    }
    case 'append-refused': {
      const [, copy, reason] = asTuple(value, 3, type)
      return { type, copy: asUint(copy, 'the number of a copy'), reason: oneOf(refusals, reason, 'a reason') }
    }
    case 'claimed':
      return { type, claim: readServiceClaim(asTuple(value, 2, type)[1]) }
    case 'hand-over': {
      const [, claim, isFirst, isLeaving, seq] = asTuple(value, 5, type)
      return {
        type,
        claim: readServiceClaim(claim),
        isFirst: asBoolean(isFirst, 'isFirst'),
        isLeaving: asBoolean(isLeaving, 'isLeaving'),
        seq: readSeq(seq),
      }
    }
    case 'ended': {
      const [, epoch, reason] = asTuple(value, 3, type)
      return { type, epoch: asUint(epoch, 'an epoch'), reason: readServiceEnd(reason) }
    }
    case 'name':
      return { type, name: readServiceName(asTuple(value, 2, type)[1]) }
    case 'name-holder': {
      const [, name, holder] = asTuple(value, 3, type)
      return { type, name: readServiceName(name), holder: holder === null ? null : asServiceId(holder) }
    }
    case 'unknown':
      asTuple(value, 1, type)
      return { type }
    default:
      return readVote(value, type)
  }
}

type VoteType = 'prepare' | 'promise' | 'accept' | 'accepted' | 'vote-refused'

function readVote(value: unknown, type: VoteType): ServiceMessage {
  switch (type) {
    case 'prepare': {
      const [, claim, ballot] = asTuple(value, 3, type)
      return { type, claim: readServiceClaim(claim), ballot: readBallot(ballot) }
    }
    case 'promise': {
      const [, epoch, ballot, before] = asTuple(value, 4, type)
      return {
        type,
        epoch: asUint(epoch, 'an epoch'),
        ballot: readBallot(ballot),
        accepted: before === null ? null : readAccepted(before),
      }
    }
    case 'accept': {
      const [, claim, ballot, next] = asTuple(value, 4, type)
      return {
        type,
        claim: readServiceClaim(claim),
        ballot: readBallot(ballot),
        next: readServiceClaim(next),
      }
    }
    case 'accepted': {
      const [, epoch, ballot] = asTuple(value, 3, type)
      return { type, epoch: asUint(epoch, 'an epoch'), ballot: readBallot(ballot) }
    }
    case 'vote-refused': {
      const [, epoch, ballot, reason, promised] = asTuple(value, 5, type)
      return {
        type,
        epoch: asUint(epoch, 'an epoch'),
        ballot: readBallot(ballot),
        reason: oneOf(vetoes, reason, 'a reason'),
        promised: promised === null ? null : readBallot(promised),
      }
    }
  }
}

function readAccepted(value: unknown): { readonly ballot: Ballot; readonly next: ServiceClaim } {
  const [ballot, next] = asTuple(value, 2, 'what a voter accepted')
  return { ballot: readBallot(ballot), next: readServiceClaim(next) }
}

function specOf(value: unknown, service: ServiceId): ServiceSpec {
  const spec = readServiceSpec(value)
  if (spec.id !== service) throw schemaError('a copy of a service', `of "${service}"`, spec.id)
  return spec
}

function writeCall({ no, method, args, via }: ServiceCall): readonly unknown[] {
  return [no, method, args.pack(), writeVia(via)]
}

function readCalls(value: unknown): readonly ServiceCall[] {
  const flat = asFlat(value, 4, 'calls')
  const calls: ServiceCall[] = []
  for (let at = 0; at < flat.length; at += 4) {
    calls.push({
      no: readCallNo(flat[at]),
      method: readMethod(flat[at + 1]),
      args: readPayload(flat[at + 2]),
      via: readVia(flat[at + 3]),
    })
  }
  return calls
}

function writeVia(via: readonly ServiceId[]): unknown {
  return via.length === 0 ? 0 : via
}

function readVia(value: unknown): readonly ServiceId[] {
  return value === 0 ? noServices : asList(value, limits.serviceViaMax, 'the services of a call', asServiceId)
}

const noServices: readonly ServiceId[] = Object.freeze([])

function writeReply({ no, outcome }: ServiceReply): readonly unknown[] {
  return [no, writeAttemptOutcome(outcome)]
}

function readReplies(value: unknown): readonly ServiceReply[] {
  const flat = asFlat(value, 2, 'replies', limits.serviceEntriesMax)
  const replies: ServiceReply[] = []
  for (let at = 0; at < flat.length; at += 2) {
    replies.push({ no: readCallNo(flat[at]), outcome: readCallOutcome(flat[at + 1]) })
  }
  return replies
}

function readCallOutcome(value: unknown): CallOutcome {
  const outcome = readAttemptOutcome(value)
  if (outcome.status === 'done' || outcome.status === 'failed') return outcome
  throw schemaError('how a call ended', 'done or failed', outcome.status)
}

/** Who called stands once for each message: an entry then costs some 10 bytes and its arguments. */
function writeEntries(entries: readonly JournalEntry[]): readonly [readonly CallerId[], readonly unknown[]] {
  const callers = new Map<CallerId, number>()
  const flat: unknown[] = []
  for (const { seq, caller, no, method, args, via } of entries) {
    let index = callers.get(caller)
    if (index === undefined) {
      index = callers.size
      callers.set(caller, index)
    }
    flat.push(seq, index, no, method, args.pack(), writeVia(via))
  }
  return [[...callers.keys()], flat]
}

function readEntries(callerList: unknown, value: unknown): readonly JournalEntry[] {
  const callers = asList(callerList, limits.serviceEntriesMax, 'callers', readCaller)
  const flat = asFlat(value, 6, 'entries of a journal', limits.serviceEntriesMax)
  const entries: JournalEntry[] = []
  for (let at = 0; at < flat.length; at += 6) {
    const index = asUint(flat[at + 1], 'the caller of an entry', callers.length - 1)
    entries.push({
      seq: readSeq(flat[at]),
      caller: callers[index] as CallerId,
      no: readCallNo(flat[at + 2]),
      method: readMethod(flat[at + 3]),
      args: readPayload(flat[at + 4]),
      via: readVia(flat[at + 5]),
    })
  }
  return entries
}

function writeSnapshot({ seq, state, callers }: ServiceSnapshot): readonly unknown[] {
  const rows = callers.map(({ caller, done, replies }) => [caller, done, replies.flatMap(writeReply)])
  return [seq, state === null ? null : state.pack(), rows]
}

function readSnapshot(value: unknown): ServiceSnapshot {
  const [seq, state, callers] = asTuple(value, 3, 'the state of a service')
  return {
    seq: readSeq(seq),
    state: state === null ? null : readPayload(state),
    callers: asList(callers, limits.serviceEntriesMax, 'callers', (item): CallerRecord => {
      const [caller, done, replies] = asTuple(item, 3, 'a caller')
      return {
        caller: readCaller(caller),
        done: asUint(done, 'a number of calls'),
        replies: readReplies(replies),
      }
    }),
  }
}

function writeOrder(order: ServiceOrder): unknown {
  return order.type === 'delete' ? 0 : order.to
}

function readOrder(value: unknown): ServiceOrder {
  return value === 0
    ? { type: 'delete' }
    : { type: 'migrate', to: asPeerId(value, 'the next host of a service') }
}

function writeBallot({ round, peer }: Ballot): readonly unknown[] {
  return [round, peer]
}

function readBallot(value: unknown): Ballot {
  const [round, peer] = asTuple(value, 2, 'a ballot')
  return { round: asUint(round, 'a round'), peer: asPeerId(peer, 'the peer of a ballot') }
}

function readCaller(value: unknown): CallerId {
  return asId(value, 'a caller') as CallerId
}

function readCallNo(value: unknown): number {
  return asUint(value, 'the number of a call')
}

function readSeq(value: unknown): number {
  return asUint(value, 'the sequence of a call')
}

function readMethod(value: unknown): string {
  return asText(value, 'the name of a method', limits.idCharsMax)
}
