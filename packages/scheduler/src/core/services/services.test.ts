import { expect, test } from 'vitest'
import { errorRecord } from '../../model/errors.ts'
import type { OperationHash, PeerId } from '../../model/ids.ts'
import { PackedPayload, type Payload } from '../../model/payload.ts'
import type { ReplicatedRecord } from '../../model/records.ts'
import type {
  Ballot,
  CallOutcome,
  ServiceAnswer,
  ServiceClaim,
  ServiceId,
  ServiceMessage,
  ServiceNews,
  ServiceRequest,
  ServiceSpec,
} from '../../model/service.ts'
import { createRng } from '../../testing/sim/rng.ts'
import type { Effect } from '../effects.ts'
import type { Event } from '../events.ts'
import { assertInvariants } from '../invariants.ts'
import { noteTime, stepFully } from '../long-way.ts'
import { createState, type SchedulerState, wakeAtOf } from '../state.ts'
import { step } from '../step.ts'
import { stepLoneCalls } from './lone.ts'

const id = 'list' as ServiceId
const payload = (...numbers: number[]): Payload => new PackedPayload(Uint8Array.from(numbers))
const numbers = (value: Payload): number[] => [...value.pack()]

function spec(options: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    id,
    name: null,
    operation: 'hash#List' as OperationHash,
    args: payload(),
    durability: 'journal',
    consistency: 'available',
    every: 100,
    ...options,
  }
}

interface Member {
  readonly id: PeerId
  readonly state: SchedulerState
  /** Takes the same events, and never the short way. */
  readonly long: SchedulerState
  /** Instances that run here: what each has appended. */
  readonly instances: Map<number, number[]>
  readonly answers: Map<number, ServiceAnswer['outcome']>
  readonly notices: string[]
  readonly written: ReplicatedRecord[]
  isDead: boolean
}

/** As data alone. */
function plain(value: unknown): string {
  return JSON.stringify(value, (_, part) => (part instanceof Map || part instanceof Set ? [...part] : part))
}

/** All that a step may change of services. */
function pictureOf({ services, timers }: SchedulerState): unknown {
  const running = [...services.services.values()].map(({ hosted }) => [...(hosted?.running ?? [])])
  return { services, running, wakeAt: timers.nextAt }
}

type Plain<E> = E extends Event ? Omit<E, 'at'> : never

/**
 * Members that all see each other, with messages delivered in order and at once. Their service appends the number
 * that it is called with, and answers with the length and the number before; `throw` fails, `die` ends the worker.
 */
function room(...names: string[]) {
  const mail: { from: Member; to: PeerId; message: Extract<Effect, { type: 'send' }>['message'] }[] = []
  let at = 0
  let request = 0
  let shortSteps = 0
  /** Messages that do not arrive. */
  let loses: (from: PeerId, to: PeerId, body: ServiceMessage) => boolean = () => false
  const said: { from: string; to: string; body: ServiceMessage }[] = []
  const members = names.map((name) => newMember(name, 1))
  function newMember(name: string, epoch: number): Member {
    const self = name as PeerId
    const options = { self, epoch, role: 'member', name, isReplicated: true } as const
    const state = createState(options)
    const long = createState(options)
    const answers = new Map<number, ServiceAnswer['outcome']>()
    return { id: self, state, long, instances: new Map(), answers, notices: [], written: [], isDead: false }
  }
  const find = (name: string): Member =>
    members.find((member) => member.id === name && !member.isDead) as Member
  const feed = (member: Member, event: Plain<Event>): void => {
    const timed = { ...event, at } as Event
    noteTime(member.state, at)
    const short = stepLoneCalls(member.state, timed)
    if (short !== null) shortSteps++
    const effects = short ?? step(member.state, timed)
    noteTime(member.long, at)
    const same = plain(stepFully(member.long, timed))
    expect(plain(effects)).toBe(same)
    expect(plain(pictureOf(member.state))).toBe(plain(pictureOf(member.long)))
    assertInvariants(member.state)
    for (const effect of effects) perform(member, effect)
  }
  const news = (member: Member, one: ServiceNews): void =>
    feed(member, { type: 'services-told', news: [one] })
  const perform = (member: Member, effect: Effect): void => {
    if (effect.type === 'send') mail.push({ from: member, to: effect.to, message: effect.message })
    else if (effect.type === 'write') {
      member.written.push(...effect.records)
      for (const other of members) {
        if (other !== member && !other.isDead)
          feed(other, { type: 'records-arrived', records: effect.records })
      }
    } else if (effect.type === 'answer-requests') {
      for (const answer of effect.answers) member.answers.set(answer.request, answer.outcome)
    } else if (effect.type === 'notify-service') {
      const { notice } = effect
      member.notices.push(notice.type === 'moved' ? `moved to ${notice.host}@${notice.epoch}` : notice.reason)
    } else if (effect.type === 'services-left') member.notices.push('left')
    else runs(member, effect)
  }
  const runs = (member: Member, effect: Effect): void => {
    if (effect.type === 'open-service') {
      const { instance, state, spec: made } = effect
      const bad = numbers(made.args).includes(255)
      member.instances.set(instance, state === null ? [] : numbers(state))
      news(member, { type: 'opened', instance, error: bad ? errorRecord('E_CODE', 'bad') : null })
    } else if (effect.type === 'run-service') {
      for (const { seq, method, args } of effect.calls) {
        const list = member.instances.get(effect.instance)
        if (list === undefined) return
        if (method === 'die') {
          member.instances.delete(effect.instance)
          news(member, { type: 'died', instance: effect.instance, error: errorRecord('E_WORKER', 'died') })
          return
        }
        news(member, {
          type: 'ran',
          instance: effect.instance,
          ended: [{ seq, outcome: run(list, method, args) }],
        })
      }
    } else if (effect.type === 'snapshot-service') {
      const list = member.instances.get(effect.instance) ?? []
      const error = list.includes(254) ? errorRecord('E_NOT_SERIALIZABLE', 'no') : null
      const state = error === null ? payload(...list) : null
      news(member, { type: 'snapshot', instance: effect.instance, seq: effect.seq, state, error })
    } else if (effect.type === 'close-service') member.instances.delete(effect.instance)
  }
  const run = (list: number[], method: string, args: Payload): CallOutcome => {
    const [number = 0] = numbers(args)
    if (method === 'throw') return { status: 'failed', error: errorRecord('E_OWN', 'no') }
    const before = list.at(-1) ?? 0
    list.push(number)
    return { status: 'done', value: payload(list.length, before) }
  }
  const settle = (): void => {
    for (let next = mail.shift(); next !== undefined; next = mail.shift()) {
      const { from, to, message } = next
      const receiver = members.find((member) => member.id === to && !member.isDead)
      if (receiver === undefined || from.isDead || !receiver.state.peers.has(from.id)) continue
      if (message.type === 'service') {
        said.push({ from: from.id, to, body: message.body })
        if (loses(from.id, to, message.body)) continue
      }
      feed(receiver, { type: 'message-received', from: from.id, message })
    }
  }
  const meet = (one: Member, other: Member): void => {
    const epoch = other.state.services.start
    feed(one, { type: 'peer-joined', peer: other.id, epoch, role: 'member' })
  }
  for (const one of members) for (const other of members) if (one !== other) meet(one, other)
  settle()
  /** Runs timers until `ms` have passed. */
  const wait = (ms: number): void => {
    const end = at + ms
    for (;;) {
      settle()
      const due = Math.min(
        ...members.filter((member) => !member.isDead).map((member) => wakeAtOf(member.state)),
      )
      if (due > end) break
      at = Math.max(at, due)
      for (const member of members) {
        if (!member.isDead && wakeAtOf(member.state) <= at) feed(member, { type: 'time-passed' })
      }
    }
    at = end
  }
  const ask = (name: string, action: ServiceRequest['action'], service: ServiceId = id): number => {
    feed(find(name), { type: 'services-asked', requests: [{ request: ++request, service, action }] })
    settle()
    return request
  }
  return {
    said,
    shortSteps: () => shortSteps,
    find,
    wait,
    settle,
    lose: (which: typeof loses) => {
      loses = which
    },
    create: (name: string, options: Partial<ServiceSpec> = {}) => {
      const made = ask(name, { type: 'create', spec: spec(options) }, options.id ?? id)
      wait(600)
      return made
    },
    call: (name: string, number: number, method = 'add', via: readonly ServiceId[] = []) =>
      ask(name, { type: 'call', method, args: payload(number), via }),
    order: (name: string, action: ServiceRequest['action']) => ask(name, action),
    say: (from: string, to: string, body: ServiceMessage) => {
      feed(find(to), {
        type: 'message-received',
        from: from as PeerId,
        message: { type: 'service', service: id, body },
      })
      settle()
    },
    leave: (name: string) => {
      feed(find(name), { type: 'services-leaving' })
      settle()
    },
    /** The answer to a request: what a call gave, an error's code, or `ok`. */
    answer: (name: string, asked: number) => {
      const outcome = find(name).answers.get(asked)
      if (outcome === undefined) return null
      if (outcome.status === 'done') return numbers(outcome.value)
      return outcome.status === 'failed' ? outcome.error.code : 'ok'
    },
    claim: (name: string) => find(name).state.services.services.get(id)?.claim ?? null,
    /** These are gone at once, and the others hear of it. */
    die: (gone: string | readonly string[], cause: 'dead' | 'left' = 'dead') => {
      const dead = [gone].flat().map(find)
      for (const member of dead) member.isDead = true
      for (const other of members) {
        if (!other.isDead) for (const { id: peer } of dead) feed(other, { type: 'peer-left', peer, cause })
      }
      settle()
    },
    /** The views of these lose each other; both live on. */
    part: (one: string, other: string) => {
      feed(find(one), { type: 'peer-left', peer: other as PeerId, cause: 'dead' })
      feed(find(other), { type: 'peer-left', peer: one as PeerId, cause: 'dead' })
      settle()
    },
    /** Those who lost each other see each other again. */
    meet: (one: string, other: string) => {
      meet(find(one), find(other))
      meet(find(other), find(one))
      settle()
    },
    join: (name: string, epoch = 1) => {
      const member = newMember(name, epoch)
      const records = members.flatMap((other) => other.written)
      members.push(member)
      feed(member, { type: 'records-arrived', records })
      for (const other of members) {
        if (other === member || other.isDead) continue
        meet(member, other)
        meet(other, member)
      }
      settle()
      return member
    },
    /** The worker of the instance here dies, whatever it does. */
    killWorker: (name: string) => {
      const member = find(name)
      const { hosted } = member.state.services.services.get(id) ?? {}
      if (hosted == null) return
      member.instances.delete(hosted.instance)
      const error = errorRecord('E_WORKER', 'died')
      news(member, { type: 'died', instance: hosted.instance, error })
      settle()
    },
    state: (name: string) => {
      const member = find(name)
      const { hosted } = member.state.services.services.get(id) ?? {}
      return hosted == null ? null : member.instances.get(hosted.instance)
    },
  }
}

test('[SV1] calls of two callers run one at a time, each caller’s in its order', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  const calls = [all.call('b', 1), all.call('c', 2), all.call('b', 3), all.call('a', 4)]
  expect(calls.map((call, index) => all.answer(['b', 'c', 'b', 'a'][index] as string, call))).toEqual([
    [1, 0],
    [2, 1],
    [3, 2],
    [4, 3],
  ])
})

test('[SV1] calls that overtake each other run in the order of their numbers', () => {
  const all = room('a', 'b')
  all.create('a')
  all.lose((_from, _to, body) => body.type === 'call')
  const first = all.call('b', 1)
  all.lose(() => false)
  const second = all.call('b', 2)
  expect(all.answer('b', second)).toBeNull()
  all.wait(2500)
  expect([all.answer('b', first), all.answer('b', second)]).toEqual([
    [1, 0],
    [2, 1],
  ])
})

test('[SV2] a call whose reply was lost is not applied again', () => {
  const all = room('a', 'b')
  all.create('a')
  all.lose((_from, _to, body) => body.type === 'replies')
  const call = all.call('b', 7)
  all.lose(() => false)
  all.wait(2500)
  expect(all.answer('b', call)).toEqual([1, 0])
  expect(all.state('a')).toEqual([7])
})

test('[SV3] the claim names host, follower and voters, all of them members in view', () => {
  const all = room('a', 'b', 'c', 'd', 'e', 'f')
  all.create('b')
  const claim = all.claim('f')
  expect(claim).toMatchObject({ epoch: 2, host: 'b', end: null })
  expect(claim?.voters).toHaveLength(5)
  const voters = claim?.voters.map((voter) => voter.peer)
  expect(voters).toContain('b')
  expect(voters).toContain(claim?.follower)
})

test('[SV3] [SV5] the follower goes on when the host dies: same calls, each once, for every caller', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  const first = all.call('c', 1)
  const follower = all.claim('a')?.follower as string
  // The host dies between the follower's acknowledgement and the reply.
  all.lose((from, _to, body) => from === 'a' && body.type === 'replies')
  const call = all.call('c', 2)
  all.lose(() => false)
  all.die('a')
  all.wait(3000)
  expect(all.claim('c')).toMatchObject({ host: follower })
  expect(all.state(follower)).toEqual([1, 2])
  expect([all.answer('c', first), all.answer('c', call)]).toEqual([
    [1, 0],
    [2, 1],
  ])
  expect(all.answer('c', all.call('c', 3))).toEqual([3, 2])
  expect(all.find('c').notices).toContain(`moved to ${follower}@3`)
})

test('[SV5] who takes over names its follower from the start: the next death loses nothing', () => {
  const all = room('a', 'b', 'c', 'd')
  all.create('a')
  all.call('a', 1)
  const first = all.claim('a')?.follower as string
  all.die('a')
  const { host, follower, epoch } = all.claim(first) as ServiceClaim
  expect({ host, epoch }).toEqual({ host: first, epoch: 3 })
  expect(follower).not.toBeNull()
  all.die(first)
  const second = follower as string
  expect(all.claim(second)?.host).toBe(second)
  expect(all.state(second)).toEqual([1])
})

test('[SV5] who takes over waits half a second for its follower, not longer', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  const follower = all.claim('a')?.follower as string
  all.lose((_from, _to, body) => body.type === 'install')
  all.die('a')
  all.wait(400)
  expect(all.claim(follower)?.host).toBe('a')
  all.wait(700)
  expect(all.claim(follower)).toMatchObject({ host: follower, follower: null })
})

test('[SV3] a host that was replaced is told so, and answers nothing more', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  const follower = all.claim('a')?.follower as string
  const third = follower === 'b' ? 'c' : 'b'
  // Only the host and its follower lose each other.
  all.part('a', follower)
  all.wait(3000)
  const { host } = all.claim(third) ?? {}
  const call = all.call(third, 5)
  all.wait(1000)
  expect(all.answer(third, call)).toEqual([1, 0])
  const acting = ['a', follower].filter(
    (name) => all.find(name).state.services.services.get(id)?.hosted?.isActing,
  )
  expect(acting).toEqual([host])
})

test('[SV3] two who want to follow one claim get one answer, whoever asks first', () => {
  const all = room('a', 'b', 'c', 'd')
  all.create('a')
  const before = all.claim('d')?.epoch ?? 0
  const follower = all.claim('a')?.follower as string
  all.part('a', follower)
  all.wait(5000)
  const hosts = new Map<number, Set<string>>()
  for (const { body } of all.said) {
    if (body.type !== 'claimed') continue
    hosts.set(body.claim.epoch, (hosts.get(body.claim.epoch) ?? new Set()).add(JSON.stringify(body.claim)))
  }
  expect(Math.max(...hosts.keys())).toBeGreaterThan(before)
  for (const claims of hosts.values()) expect(claims.size).toBe(1)
})

/** A voter of a claim that `h` made, and what it says when it is asked. */
function voter(start: number) {
  const self = 'v' as PeerId
  const state = createState({ self, epoch: start, role: 'member', name: 'v', isReplicated: false })
  for (const peer of ['h', 'f'] as PeerId[])
    step(state, { type: 'peer-joined', at: 0, peer, epoch: 1, role: 'member' })
  return (from: string, body: ServiceMessage): unknown[] =>
    step(state, {
      type: 'message-received',
      at: 1,
      from: from as PeerId,
      message: { type: 'service', service: id, body },
    }).flatMap((effect) =>
      effect.type === 'send' && effect.message.type === 'service' && effect.to === from
        ? [effect.message.body]
        : [],
    )
}

const [host, follower] = ['h' as PeerId, 'f' as PeerId]
const voters = ['h', 'f', 'v'].map((peer) => ({ peer: peer as PeerId, epoch: 1 }))
const claimed: ServiceClaim = { epoch: 4, host, follower, voters, end: null }
const byHost: ServiceClaim = { ...claimed, epoch: 5 }
const byFollower: ServiceClaim = { ...claimed, epoch: 5, host: follower, follower: null }

test('[SV3] a voter keeps its promise, says what it accepted, and knows of no older claim', () => {
  const ask = voter(1)
  const low = { round: 1, peer: host }
  const high = { round: 2, peer: follower }
  const prepare = (ballot: Ballot) => ({ type: 'prepare', claim: claimed, ballot }) as const
  const accept = (ballot: Ballot, next: ServiceClaim) =>
    ({ type: 'accept', claim: claimed, ballot, next }) as const
  const refused = { type: 'vote-refused', epoch: 4, ballot: low, reason: 'promised', promised: high }

  expect(ask('h', prepare(low))).toEqual([{ type: 'promise', epoch: 4, ballot: low, accepted: null }])
  expect(ask('f', prepare(high))).toEqual([{ type: 'promise', epoch: 4, ballot: high, accepted: null }])
  expect(ask('h', accept(low, byHost))).toEqual([refused])
  expect(ask('f', accept(high, byFollower))).toEqual([{ type: 'accepted', epoch: 4, ballot: high }])
  const third = { round: 3, peer: host }
  const accepted = { ballot: high, next: byFollower }
  expect(ask('h', prepare(third))).toEqual([{ type: 'promise', epoch: 4, ballot: third, accepted }])
  ask('f', { type: 'claimed', claim: byFollower })
  expect(ask('h', prepare({ round: 9, peer: host }))).toEqual([{ type: 'claimed', claim: byFollower }])
})

test('[SV3] the lowest ballot needs no promise, and is the host’s alone', () => {
  const lowest = { round: 0, peer: host }
  const accept = (ballot: Ballot, next: ServiceClaim) =>
    ({ type: 'accept', claim: claimed, ballot, next }) as const
  const refused = { type: 'vote-refused', epoch: 4, reason: 'promised' }

  const ask = voter(1)
  const forged = { round: 0, peer: follower }
  expect(ask('f', accept(forged, byFollower))).toEqual([{ ...refused, ballot: forged, promised: lowest }])
  expect(ask('h', accept(lowest, byHost))).toEqual([{ type: 'accepted', epoch: 4, ballot: lowest }])

  const late = voter(1)
  const high = { round: 1, peer: follower }
  late('f', { type: 'prepare', claim: claimed, ballot: high })
  expect(late('h', accept(lowest, byHost))).toEqual([{ ...refused, ballot: lowest, promised: high }])
})

test('[SV3] a host that names another follower asks the voters once', () => {
  const all = room('a', 'b', 'c', 'd')
  all.create('a')
  const follower = all.claim('a')?.follower as string
  const before = all.said.length
  all.die(follower)
  const claim = all.claim('a')
  expect(claim?.host).toBe('a')
  expect(claim?.follower).not.toBe(follower)
  expect(all.said.slice(before).map(({ body }) => body.type)).not.toContain('prepare')
})

test('[SV3] a peer that started again since the claim does not vote', () => {
  const ballot = { round: 1, peer: host }
  expect(voter(2)('h', { type: 'prepare', claim: claimed, ballot })).toEqual([
    { type: 'vote-refused', epoch: 4, ballot, reason: 'restarted', promised: null },
  ])
})

test('[SV3] a follower that asks for votes acknowledges nothing more of the host that it means to follow', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  const to = all.claim('a')?.follower as string
  const other = to === 'b' ? 'c' : 'b'
  all.lose((_from, _to, body) => body.type === 'prepare')
  all.part('a', to)
  all.call(other, 1)
  const late = all.said.length
  all.meet('a', to)
  all.wait(300)
  const acks = all.said.slice(late).filter(({ from, body }) => from === to && body.type === 'appended')
  expect(acks).toEqual([])
})

test.each(['journal', 'snapshot'] as const)('[SV4] a reply waits for the follower: %s', (durability) => {
  const all = room('a', 'b', 'c')
  all.create('a', { durability })
  all.lose((_from, _to, body) => body.type === 'appended')
  const call = all.call('c', 1)
  expect(all.state('a')).toEqual([1])
  expect(all.answer('c', call)).toBeNull()
  all.lose(() => false)
  all.wait(1500)
  expect(all.answer('c', call)).toEqual([1, 0])
})

test('[SV4] alone in its room a service answers at once, and gets a follower as soon as somebody comes', () => {
  const all = room('a')
  const made = all.create('a')
  expect(all.answer('a', made)).toBe('ok')
  expect(all.answer('a', all.call('a', 1))).toEqual([1, 0])
  expect(all.claim('a')?.follower).toBeNull()
  all.join('b')
  all.wait(1500)
  expect(all.claim('a')).toMatchObject({ host: 'a', follower: 'b' })
  all.die('a')
  all.wait(1000)
  expect(all.state('b')).toEqual([1])
  expect(all.answer('b', all.call('b', 2))).toEqual([2, 1])
})

test.each(['journal', 'snapshot'] as const)(
  '[SV4] a service is made, and answers, once a claim that names a follower is decided: %s',
  (durability) => {
    const all = room('a', 'b', 'c')
    all.lose((_from, _to, { type }) => type === 'accept')
    const made = all.create('a', { durability })
    const call = all.call('a', 1)
    all.wait(3000)
    expect([all.answer('a', made), all.answer('a', call)]).toEqual([null, null])
    all.lose(() => false)
    all.wait(3000)
    expect([all.answer('a', made), all.answer('a', call)]).toEqual(['ok', [1, 0]])
    expect(all.claim('a')?.follower).not.toBeNull()
  },
)

test('[SV4] a follower that dies is replaced, and replies go on', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  const follower = all.claim('a')?.follower as string
  const other = follower === 'b' ? 'c' : 'b'
  all.call(other, 1)
  all.die(follower)
  all.wait(1000)
  expect(all.claim('a')).toMatchObject({ host: 'a', follower: other })
  expect(all.answer(other, all.call(other, 2))).toEqual([2, 1])
})

test.each([
  ['available', true],
  ['strict', false],
] as const)('[SV6] the survivor of two goes on alone: %s', (consistency, goesOn) => {
  const all = room('a', 'b')
  all.create('a', { consistency })
  all.call('b', 1)
  all.die('a')
  all.wait(3000)
  const call = all.call('b', 2)
  all.wait(1000)
  expect(all.answer('b', call)).toEqual(goesOn ? [2, 1] : null)
  all.wait(31_000)
  expect(all.answer('b', call)).toEqual(goesOn ? [2, 1] : 'E_SERVICE_AWAY')
})

test('[SV6] in a strict service the word of a host that started again is enough', () => {
  const all = room('a', 'b')
  all.create('a', { consistency: 'strict' })
  all.call('b', 1)
  all.die('a')
  all.join('a', 2)
  all.wait(3000)
  expect(all.claim('a')).toMatchObject({ host: 'b' })
  expect(all.answer('b', all.call('b', 2))).toEqual([2, 1])
})

test('[SV7] host and follower gone together: the service is lost, and says so', () => {
  const all = room('a', 'b', 'c', 'd', 'e')
  all.create('a')
  const follower = all.claim('a')?.follower as string
  const left = ['b', 'c', 'd', 'e'].filter((name) => name !== follower)
  all.die(['a', follower])
  const caller = left[0] as string
  const call = all.call(caller, 1)
  all.wait(20_000)
  expect(all.answer(caller, call)).toBe('E_SERVICE_LOST')
  expect(left.map((name) => all.find(name).notices.at(-1))).toEqual(['lost', 'lost', 'lost'])
})

test('[SV7] a host that was alone and dies leaves nothing: the service ends and its name is free', () => {
  const all = room('a')
  all.create('a', { name: 'x' })
  all.join('b')
  all.die('a')
  const call = all.call('b', 1)
  all.wait(12_000)
  expect(all.answer('b', call)).toBe('E_SERVICE_LOST')
  expect(all.answer('b', all.create('b', { name: 'x', id: 'other' as ServiceId }))).toBe('ok')
})

test('[SV7] a host that was taken for dead lives on by its next claim', () => {
  const all = room('a')
  all.create('a')
  all.call('a', 1)
  all.lose((_from, _to, body) => body.type === 'install')
  all.join('b')
  all.part('a', 'b')
  all.wait(12_000)
  all.lose(() => false)
  all.meet('a', 'b')
  all.wait(3000)
  expect(all.claim('b')).toMatchObject({ host: 'a', follower: 'b' })
  expect(all.answer('b', all.call('b', 2))).toEqual([2, 1])
})

test('[SV7] a host that starts again alone ends what it had', () => {
  const all = room('a')
  all.create('a', { name: 'x' })
  const { written } = all.find('a')
  const alone = createState({ self: 'a' as PeerId, epoch: 2, role: 'member', name: 'a', isReplicated: true })
  step(alone, { type: 'records-arrived', at: 0, records: written })
  let ended: Effect[] = []
  for (let at = wakeAtOf(alone); at < 20_000; at = wakeAtOf(alone)) {
    ended = [...ended, ...step(alone, { type: 'time-passed', at })]
  }
  expect(ended.filter((effect) => effect.type === 'write')).toEqual([
    { type: 'write', records: [{ type: 'service-ended', by: 'a', service: id, epoch: 1, reason: 'lost' }] },
  ])
})

test('[SV8] without durability a lost host means a new start, and open calls say so', () => {
  const all = room('a', 'b', 'c')
  all.create('a', { durability: 'none' })
  expect(all.answer('b', all.call('b', 1))).toEqual([1, 0])
  all.lose((_from, _to, body) => body.type === 'replies')
  const open = all.call('b', 2)
  all.lose(() => false)
  all.die('a')
  all.wait(5000)
  expect(all.answer('b', open)).toBe('E_SERVICE_RESTARTED')
  expect(all.answer('b', all.call('b', 3))).toEqual([1, 0])
})

test('[PL5] calls without durability take a short way, which comes to the same as the long one', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const rng = createRng(seed)
    const all = room('a', 'b', 'c')
    all.create('a', { durability: 'none' })
    all.lose(() => rng.chance(0.03))
    const made: [name: string, call: number][] = []
    for (let k = 0; k < 60; k++) {
      const name = rng.pick(['a', 'b', 'b', 'c'])
      const via = rng.chance(0.05) ? [rng.pick([id, 'other' as ServiceId])] : []
      made.push([name, all.call(name, k, rng.chance(0.1) ? 'throw' : 'add', via)])
      if (rng.chance(0.1)) all.wait(rng.chance(0.5) ? 1 : 3000)
      if (rng.chance(0.02)) all.killWorker('a')
    }
    all.lose(() => false)
    all.wait(20_000)
    for (const [name, call] of made) expect(all.answer(name, call)).not.toBeNull()
    expect(all.shortSteps()).toBeGreaterThan(60)
  }
})

test('[SV9] the call that kills its worker fails alone and is never run again, not by a successor either', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  all.call('b', 1)
  const killer = all.call('b', 0, 'die')
  const next = all.call('b', 2)
  all.wait(2000)
  expect(all.answer('b', killer)).toBe('E_SERVICE')
  expect(all.answer('b', next)).toEqual([2, 1])
  const follower = all.claim('a')?.follower as string
  all.die('a')
  all.wait(2000)
  expect(all.state(follower)).toEqual([1, 2])
})

test('[SV9][69] instances that die four times in a row end the service, for everybody', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  all.call('b', 1)
  for (let death = 1; death <= 3; death++) all.killWorker('a')
  expect(all.state('a')).toEqual([1])
  all.killWorker('a')
  const call = all.call('b', 2)
  all.wait(2000)
  expect(all.answer('b', call)).toBe('E_SERVICE_CRASH_LOOP')
  expect(['a', 'b', 'c'].map((name) => all.find(name).notices.at(-1))).toEqual(Array(3).fill('crashing'))
})

test('[SV9] instances that die now and then, or whose calls get further, are opened again without end', () => {
  const all = room('a', 'b')
  all.create('a')
  for (let death = 1; death <= 10; death++) {
    all.killWorker('a')
    if (death % 2 === 0) all.call('b', death)
    else all.wait(5000)
  }
  for (let death = 1; death <= 10; death++) all.call('b', 0, 'die')
  all.wait(2000)
  expect(all.answer('b', all.call('b', 12))).toEqual([6, 10])
})

test('[SV10] a method that throws fails its call; the service lives on', () => {
  const all = room('a', 'b')
  all.create('a')
  expect(all.answer('b', all.call('b', 1, 'throw'))).toBe('E_OWN')
  expect(all.answer('b', all.call('b', 2))).toEqual([1, 0])
})

test('[SV10] a call from a method of the service itself fails at once, and again when its reply was lost', () => {
  const all = room('a', 'b')
  all.create('a')
  all.lose((_from, _to, body) => body.type === 'replies')
  const call = all.call('b', 1, 'add', ['other' as ServiceId, id])
  all.lose(() => false)
  all.wait(2500)
  expect(all.answer('b', call)).toBe('E_WOULD_DEADLOCK')
  expect(all.state('a')).toEqual([])
  expect(all.answer('b', all.call('b', 2))).toEqual([1, 0])
})

test('[SV10] what made a state that cannot be packed is undone and fails', () => {
  const all = room('a', 'b')
  all.create('a', { durability: 'snapshot' })
  all.call('b', 1)
  const bad = all.call('b', 254)
  all.wait(1000)
  expect(all.answer('b', bad)).toBe('E_NOT_SERIALIZABLE')
  expect(all.answer('b', all.call('b', 3))).toEqual([2, 1])
})

test('[SV10] [SV11] a service whose last call was undone can move', () => {
  const all = room('a', 'b')
  all.create('a', { durability: 'snapshot' })
  all.call('b', 1)
  all.call('b', 254)
  const order = all.order('a', { type: 'migrate', to: 'b' as PeerId })
  all.wait(1000)
  expect(all.answer('a', order)).toBe('ok')
  expect(all.answer('a', all.call('a', 3))).toEqual([2, 1])
})

test('[SV11] leaving hands over within a step of the network, and no call fails', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  const first = all.call('c', 1)
  const follower = all.claim('a')?.follower as string
  all.leave('a')
  expect(all.find('a').notices).toContain('left')
  expect(all.claim('c')).toMatchObject({ host: follower })
  all.die('a', 'left')
  const second = all.call('c', 2)
  all.wait(1500)
  expect([all.answer('c', first), all.answer('c', second)]).toEqual([
    [1, 0],
    [2, 1],
  ])
})

test('[SV11] who leaves gives its ballot to its follower, which tells all callers where to go', () => {
  const all = room('a', 'b', 'c', 'd', 'e', 'f', 'g')
  all.create('a')
  const { follower, voters } = all.claim('a') as ServiceClaim
  const caller = ['b', 'c', 'd', 'e', 'f', 'g'].find(
    (name) => !voters.some(({ peer }) => peer === name),
  ) as string
  all.call(caller, 1)
  const before = all.said.length
  all.leave('a')
  const said = all.said.slice(before)
  expect(said.map(({ body }) => body.type)).not.toContain('prepare')
  const told = said.filter(({ to, body }) => to === caller && body.type === 'claimed')
  expect(told[0]).toMatchObject({ from: follower, body: { claim: { host: follower } } })
  // Nothing is given to a peer that goes.
  const { voters: next, follower: nextFollower } = all.claim(caller) as ServiceClaim
  expect([...next.map(({ peer }) => peer), nextFollower]).not.toContain('a')
})

test('[SV11] a ballot that was given away is not used by who gave it, nor twice', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  const follower = all.claim('a')?.follower as string
  const third = follower === 'b' ? 'c' : 'b'
  all.lose((_from, _to, { type }) => type === 'prepare' || type === 'accept' || type === 'accepted')
  const order = all.order('a', { type: 'migrate', to: follower as PeerId })
  all.wait(4000)
  expect(all.answer('a', order)).toBe('E_MIGRATE')
  all.die(follower)
  all.wait(200)
  const own = all.said.filter(({ from, body }) => from === 'a' && body.type === 'accept').length
  all.lose(() => false)
  all.wait(3000)
  const ballots = all.said.flatMap(({ from, body }) =>
    from === 'a' && body.type === 'accept' ? [body.ballot] : [],
  )
  expect(ballots.slice(own).every(({ round }) => round > 0)).toBe(true)
  const call = all.call(third, 1)
  all.wait(1000)
  expect(all.answer(third, call)).toEqual([1, 0])
})

test('[SV11] a call that comes while a host hands over is told where to go', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  const follower = all.claim('a')?.follower as string
  const third = follower === 'b' ? 'c' : 'b'
  all.lose((_from, to, body) => body.type === 'hand-over' || (to === third && body.type === 'claimed'))
  all.leave('a')
  const call = all.call(third, 1)
  expect(all.answer(third, call)).toBeNull()
  all.lose((from, to, body) => from === follower && to === third && body.type === 'claimed')
  const before = all.said.length
  all.wait(600)
  const told = all.said.slice(before).filter(({ to, body }) => to === third && body.type === 'claimed')
  expect(told.map(({ from }) => from)).toContain('a')
  expect(all.answer(third, call)).toEqual([1, 0])
})

test('[SV11] leaving copies first what nobody else has', () => {
  const all = room('a')
  all.create('a')
  all.call('a', 1)
  all.join('b')
  all.leave('a')
  all.wait(100)
  expect(all.find('a').notices).toContain('left')
  expect(all.claim('b')).toMatchObject({ host: 'b' })
  expect(all.state('b')).toEqual([1])
})

test('[SV11] migrating moves the state to the member that was named', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  all.call('b', 1)
  const target = all.claim('a')?.follower === 'b' ? 'c' : 'b'
  const order = all.order('b', { type: 'migrate', to: target as PeerId })
  all.wait(2000)
  expect(all.answer('b', order)).toBe('ok')
  expect(all.claim('a')?.host).toBe(target)
  expect(all.state(target)).toEqual([1])
  expect(all.state('a')).toBeNull()
})

test.each(['journal', 'snapshot'] as const)(
  '[SV11] who handed over keeps what it had: the death of the new host right after a migration loses nothing: %s',
  (durability) => {
    const all = room('a', 'b', 'c')
    all.create('a', { durability })
    all.call('b', 1)
    all.call('c', 2)
    const target = all.claim('a')?.follower as string
    const other = target === 'b' ? 'c' : 'b'
    all.lose((from, _to, { type }) => from === target && type === 'install')
    const order = all.order('a', { type: 'migrate', to: target as PeerId })
    expect(all.answer('a', order)).toBe('ok')
    expect(all.claim(other)).toMatchObject({ host: target, follower: 'a' })
    const last = all.call(other, 3)
    expect(all.answer(other, last)).toEqual([3, 2])
    all.die(target)
    all.wait(3000)
    expect(all.answer(other, all.call(other, 4))).toEqual([4, 3])
    expect(all.state('a')).toEqual([1, 2, 3, 4])
  },
)

test('[SV11] a host that gave a migration up keeps nothing of it that its target does not have, too', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  all.call('c', 1)
  const target = all.claim('a')?.follower as string
  const other = target === 'b' ? 'c' : 'b'
  all.lose((_from, _to, { type }) => type === 'hand-over')
  const order = all.order('a', { type: 'migrate', to: target as PeerId })
  all.wait(8000)
  expect(all.answer('a', order)).toBe('E_MIGRATE')
  const kept = all.said.find(({ body }) => body.type === 'hand-over')?.body as ServiceMessage
  expect(all.answer(other, all.call(other, 2))).toEqual([2, 1])
  all.lose((from, _to, { type }) => from === target && type === 'install')
  // The word to take over comes at last, and is too old.
  all.say('a', target, kept)
  all.wait(700)
  expect(all.claim(other)).toMatchObject({ host: target })
  expect(all.answer(other, all.call(other, 3))).toBeNull()
  all.lose(() => false)
  all.wait(3000)
  all.die(target)
  all.wait(3000)
  expect(all.state('a') ?? all.state(other)).toEqual([1, 2, 3])
})

test.each([
  ['a stranger', 'x', 'journal', 'E_MIGRATE'],
  ['without durability', 'b', 'none', 'E_MIGRATE'],
] as const)('[SV11] a service cannot move to %s', (_what, to, durability, code) => {
  const all = room('a', 'b')
  all.create('a', { durability })
  const order = all.order('b', { type: 'migrate', to: to as PeerId })
  expect(all.answer('b', order)).toBe(code)
  expect(all.answer('b', all.call('b', 1))).toEqual([1, 0])
})

test('[SV11] a target that takes nothing over is given up, and the host goes on', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  const target = all.claim('a')?.follower as string
  all.lose((_from, _to, body) => body.type === 'hand-over')
  const order = all.order('a', { type: 'migrate', to: target as PeerId })
  all.wait(600)
  const call = all.call('c', 1)
  all.wait(8000)
  expect(all.answer('a', order)).toBe('E_MIGRATE')
  expect(all.answer('c', call)).toEqual([1, 0])
})

test('[SV14] an order that the host never hears of fails after 30 s', () => {
  const all = room('a', 'b', 'c')
  all.create('a')
  all.lose((_from, _to, { type }) => type === 'order')
  const orders = [all.order('b', { type: 'delete' }), all.order('b', { type: 'migrate', to: 'b' as PeerId })]
  all.wait(29_000)
  expect(orders.map((order) => all.answer('b', order))).toEqual([null, null])
  all.wait(2000)
  expect(orders.map((order) => all.answer('b', order))).toEqual(['E_SERVICE_AWAY', 'E_SERVICE_AWAY'])
})

test('[SV13] a creation that is given up while others are asked frees its name', () => {
  const all = room('a', 'b')
  all.lose((_from, _to, { type }) => type === 'name')
  const made = all.create('a', { name: 'it' })
  expect(all.answer('a', made)).toBeNull()
  const order = all.order('a', { type: 'delete' })
  expect([all.answer('a', made), all.answer('a', order)]).toEqual(['E_SERVICE_DELETED', 'ok'])
  all.lose(() => false)
  expect(all.answer('b', all.create('b', { id: 'other' as ServiceId, name: 'it' }))).toBe('ok')
})

test('[SV12] deleting fails open and later calls, and frees the name', () => {
  const all = room('a', 'b', 'c')
  all.create('a', { name: 'x' })
  all.lose((_from, _to, body) => body.type === 'replies')
  const open = all.call('b', 1)
  all.lose(() => false)
  const order = all.order('c', { type: 'delete' })
  all.wait(1000)
  expect(all.answer('c', order)).toBe('ok')
  expect(all.answer('b', open)).toBe('E_SERVICE_DELETED')
  expect(all.answer('b', all.call('b', 2))).toBe('E_SERVICE_DELETED')
  expect(all.state('a')).toBeNull()
  expect(all.answer('b', all.create('b', { name: 'x', id: 'other' as ServiceId }))).toBe('ok')
})

test('[SV13] of two that ask for a name at once the smaller id gets it', () => {
  const all = room('a', 'b', 'c')
  expect(all.answer('a', all.create('a', { name: 'x', id: 'later' as ServiceId }))).toBe('ok')
  const second = all.create('b', { name: 'x', id: 'earlier' as ServiceId })
  // It is too late: the name is given.
  expect(all.answer('b', second)).toBe('E_NAME_TAKEN')
  all.lose((_from, _to, body) => body.type === 'name' || body.type === 'name-holder')
  const big = all.order('a', { type: 'create', spec: spec({ name: 'y', id: 'y2' as ServiceId }) })
  const small = all.order('b', { type: 'create', spec: spec({ name: 'y', id: 'y1' as ServiceId }) })
  all.lose(() => false)
  all.wait(3000)
  expect([all.answer('a', big), all.answer('b', small)]).toEqual(['E_NAME_TAKEN', 'ok'])
})

test('[SV14] a service that nobody knows fails calls after 4 s', () => {
  const all = room('a', 'b')
  const call = all.call('a', 1)
  all.wait(3000)
  expect(all.answer('a', call)).toBeNull()
  all.wait(2000)
  expect(all.answer('a', call)).toBe('E_NO_SERVICE')
})

test('[SV14] a peer that has not read the documents yet is told who hosts a service', () => {
  const all = room('a', 'b')
  all.create('a')
  all.find('b').state.services.services.clear()
  all.find('b').long.services.services.clear()
  const call = all.call('b', 1)
  all.wait(1500)
  expect(all.answer('b', call)).toEqual([1, 0])
})

test('[SV14] a contributor, which reads no documents, asks where a service went when its host is gone', () => {
  const self = 'x' as PeerId
  const state = createState({ self, epoch: 1, role: 'contributor', name: 'x', isReplicated: false })
  for (const peer of ['h', 'f'] as PeerId[])
    step(state, { type: 'peer-joined', at: 0, peer, epoch: 1, role: 'member' })
  const action = { type: 'call', method: 'add', args: payload(1), via: [] } as const
  step(state, { type: 'services-asked', at: 1, requests: [{ request: 1, service: id, action }] })
  const hear = (from: PeerId, body: ServiceMessage) =>
    step(state, {
      type: 'message-received',
      at: 2,
      from,
      message: { type: 'service', service: id, body },
    }).flatMap((effect) =>
      effect.type === 'send' && effect.message.type === 'service'
        ? [[effect.to, effect.message.body.type]]
        : [],
    )
  expect(hear(host, { type: 'claimed', claim: claimed })).toEqual([[host, 'call']])
  const asked = step(state, { type: 'peer-left', at: 3, peer: host, cause: 'dead' })
  expect(asked).toEqual([
    { type: 'send', to: follower, message: { type: 'service', service: id, body: { type: 'unknown' } } },
  ])
  expect(hear(follower, { type: 'claimed', claim: byFollower })).toEqual([[follower, 'call']])
})

test('create() fails as the constructor does, and nobody hears of it', () => {
  const all = room('a', 'b')
  expect(all.answer('a', all.create('a', { args: payload(255) }))).toBe('E_CODE')
  expect(all.find('b').state.services.services.size).toBe(0)
})
