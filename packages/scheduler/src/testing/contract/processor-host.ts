import { afterEach, describe, expect, test } from 'vitest'
import type { Call } from '../../core/effects.ts'
import type { CallEnded } from '../../core/events.ts'
import type { JobId, OperationHash, PeerId, ProcessorId, TaskRef } from '../../model/ids.ts'
import type { Payload } from '../../model/payload.ts'
import type { BodyRequest, ProcessorHost } from '../../ports.ts'

/** A host with two processors, made for one test. */
export interface ProcessorHostFixture {
  readonly host: ProcessorHost
  /** Makes an operation of an ES module's text and its default export; `isHere` false: must be fetched. */
  operation(source: string, isHere?: boolean): OperationHash
  /** Operations that the host put into the store. */
  added(): readonly string[]
  payload(value: unknown): Payload
  value(payload: Payload): unknown
  /** Answers the next message on the `BroadcastChannel` of that name, once `open` was called. */
  gate(channel: string): { open(): void }
}

/** An implementation of the port `ProcessorHost` under test. */
export interface ProcessorHostContract {
  readonly name: string
  /** `isPatient`: bodies that are asked to stop get seconds to do so, not milliseconds. */
  create(options: { readonly isPatient: boolean }): Promise<ProcessorHostFixture>
  /** Module text of a body that kills its processor; `null` where a body cannot. */
  readonly deadlySource: string | null
  /** Time for one test in milliseconds. Default 20,000. */
  readonly timeoutMs?: number
}

const job = 'job-1' as JobId
const owner = 'owner' as PeerId
const spinForever = 'export default () => { for (;;); }'
const double = 'export default (x) => x * 2'
const identity = 'export default (x) => x'

interface CallOptions {
  readonly timeoutMs?: number
  readonly inputs?: Call['inputs']
}

/** One fixture and what its host has told so far. */
class Bench {
  readonly fixture: ProcessorHostFixture
  readonly processor: ProcessorId
  readonly ended = new Map<number, CallEnded>()
  readonly order: number[] = []
  readonly requests: BodyRequest[] = []
  readonly #checks = new Set<() => void>()
  #nextCallId = 1

  constructor(fixture: ProcessorHostFixture) {
    this.fixture = fixture
    const [first] = fixture.host.processors
    if (first === undefined) throw new Error('the host has no processors')
    this.processor = first.id
    fixture.host.onEnded((ended) => {
      for (const entry of ended) {
        expect(this.ended.has(entry.callId), `call ${entry.callId} ended twice`).toBe(false)
        this.ended.set(entry.callId, entry)
        this.order.push(entry.callId)
      }
      this.#check()
    })
    fixture.host.onBody((request) => {
      this.requests.push(request)
      this.#check()
    })
    fixture.host.onProcessors(() => this.#check())
  }

  call(operation: OperationHash, args: readonly unknown[], options: CallOptions = {}): Call {
    const callId = this.#nextCallId++
    return {
      callId,
      job,
      no: callId,
      attempt: 1,
      operation,
      args: this.fixture.payload(args),
      items: null,
      inputs: options.inputs ?? [],
      timeoutMs: options.timeoutMs ?? 0,
      owner,
    }
  }

  run(...calls: readonly Call[]): Call[] {
    this.fixture.host.execute(this.processor, calls)
    return [...calls]
  }

  /** Resolves when `isTrue`, which is asked whenever the host tells something. */
  until(isTrue: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!isTrue()) return
        this.#checks.delete(check)
        resolve()
      }
      this.#checks.add(check)
      check()
    })
  }

  async end(...calls: readonly Call[]): Promise<CallEnded['outcome'][]> {
    await this.until(() => calls.every(({ callId }) => this.ended.has(callId)))
    return calls.map(({ callId }) => (this.ended.get(callId) as CallEnded).outcome)
  }

  /** The values of calls that must end well. */
  async values(...calls: readonly Call[]): Promise<unknown[]> {
    return (await this.end(...calls)).map((outcome) => {
      if (outcome.status !== 'done') throw new Error(`expected a value: ${JSON.stringify(outcome)}`)
      return this.fixture.value(outcome.value)
    })
  }

  async error(call: Call): Promise<{ readonly code: string | null; readonly message: string }> {
    const [outcome] = await this.end(call)
    if (outcome?.status !== 'failed') throw new Error(`expected a failure: ${JSON.stringify(outcome)}`)
    return outcome.error
  }

  async request<T extends BodyRequest['type']>(type: T): Promise<Extract<BodyRequest, { readonly type: T }>> {
    const find = (): BodyRequest | undefined => this.requests.find((request) => request.type === type)
    await this.until(() => find() !== undefined)
    return find() as Extract<BodyRequest, { readonly type: T }>
  }

  #check(): void {
    for (const check of this.#checks) check()
  }
}

/** What the scheduler relies on in a host of processors. Waits for events, never for time. */
export function processorHostContract(contract: ProcessorHostContract): void {
  const benches: Bench[] = []
  const open = async (isPatient = false): Promise<Bench> => {
    const bench = new Bench(await contract.create({ isPatient }))
    benches.push(bench)
    return bench
  }
  describe(`processor host contract: ${contract.name}`, { timeout: contract.timeoutMs ?? 20_000 }, () => {
    afterEach(async () => {
      for (const bench of benches.splice(0)) await bench.fixture.host.close()
    })
    describe('running', () => runningTests(open))
    describe('failing', () => failingTests(open))
    describe('stopping', () => stoppingTests(open, contract.deadlySource))
    describe('asking', () => askingTests(open))
  })
}

type Open = (isPatient?: boolean) => Promise<Bench>

function runningTests(open: Open): void {
  test('runs many calls in order and ends each once', async () => {
    const bench = await open()
    const operation = bench.fixture.operation(double)
    const calls = Array.from({ length: 1000 }, (_, index) => bench.call(operation, [index]))
    bench.run(...calls)
    expect(await bench.values(...calls)).toEqual(calls.map((_, index) => index * 2))
    expect(bench.order).toEqual(calls.map(({ callId }) => callId))
  })

  test('runs async bodies one at a time, in order', async () => {
    const bench = await open()
    const operation = bench.fixture.operation(
      `let running = 0
       export default async (rounds) => {
         running += 1
         const seen = running
         for (let round = 0; round < rounds; round++) await null
         running -= 1
         return seen
       }`,
    )
    const calls = [50, 0, 20, 1].map((rounds) => bench.call(operation, [rounds]))
    bench.run(...calls)
    expect(await bench.values(...calls)).toEqual([1, 1, 1, 1])
    expect(bench.order).toEqual(calls.map(({ callId }) => callId))
  })

  test('uses its processors at the same time', async () => {
    const bench = await open()
    const [, second] = bench.fixture.host.processors
    const endless = bench.call(bench.fixture.operation('export default () => new Promise(() => {})'), [])
    const quick = bench.call(bench.fixture.operation(double), [21])
    bench.run(endless)
    bench.fixture.host.execute(second?.id as ProcessorId, [quick])
    expect(await bench.values(quick)).toEqual([42])
    expect(bench.ended.has(endless.callId)).toBe(false)
  })

  test('fills the holes of the arguments with inputs', async () => {
    const bench = await open()
    const operation = bench.fixture.operation('export default (...args) => args')
    const inputs = [
      { index: 0, value: bench.fixture.payload('zero') },
      { index: 2, value: bench.fixture.payload({ two: [2] }) },
    ]
    const [call] = bench.run(bench.call(operation, [undefined, 'one'], { inputs }))
    expect(await bench.values(call as Call)).toEqual([['zero', 'one', { two: [2] }]])
  })

  test('carries rich values both ways', async () => {
    const bench = await open()
    const value = {
      map: new Map([['a', new Set([1n])]]),
      numbers: new Float64Array([1.5, -0]),
      big: new Uint8Array(100_000).fill(7),
      date: new Date(5),
      nothing: undefined,
      error: Object.assign(new RangeError('far'), { code: 'E_FAR' }),
    }
    const [call] = bench.run(bench.call(bench.fixture.operation(identity), [value]))
    const [back] = (await bench.values(call as Call)) as [typeof value]
    expect(back).toEqual(value)
    expect(back.error).toMatchObject({ name: 'RangeError', code: 'E_FAR' })
    expect(value.big[0]).toBe(7)
  })

  test('leaves a module its state', async () => {
    const bench = await open()
    const operation = bench.fixture.operation(
      'const kept = new Uint8Array(100_000)\nexport default () => (kept[0] += 1, kept)',
    )
    const calls = [bench.call(operation, []), bench.call(operation, [])]
    bench.run(...calls)
    const results = (await bench.values(...calls)) as Uint8Array[]
    expect(results.map((result) => result.length)).toEqual([100_000, 100_000])
    expect(results[1]?.[0]).toBe(2)
  })
}

function failingTests(open: Open): void {
  test('tells what a body threw, and goes on', async () => {
    const bench = await open()
    const operation = bench.fixture.operation(
      `export default (how) => {
         if (how === 'sync') throw Object.assign(new TypeError('bad input'), { code: 'E_MINE' })
         if (how === 'async') return Promise.reject(new Error('later'))
         return how
       }`,
    )
    const [sync, late, fine] = bench.run(
      ...['sync', 'async', 'fine'].map((how) => bench.call(operation, [how])),
    )
    expect(await bench.error(sync as Call)).toMatchObject({
      name: 'TypeError',
      message: 'bad input',
      code: 'E_MINE',
    })
    expect(await bench.error(late as Call)).toMatchObject({ message: 'later' })
    expect(await bench.values(fine as Call)).toEqual(['fine'])
  })

  test('fetches unknown code, and fails only the calls whose code nobody has', async () => {
    const bench = await open()
    const known = bench.fixture.operation(double)
    const remote = bench.fixture.operation('export default (x) => x + 100', false)
    const nowhere = `${'0'.repeat(64)}#default` as OperationHash
    const calls = [
      bench.call(nowhere, [1]),
      bench.call(remote, [1]),
      bench.call(known, [1]),
      bench.call(remote, [2]),
    ]
    bench.run(...calls)
    expect(await bench.error(calls[0] as Call)).toMatchObject({ code: 'E_NO_FUNCTION' })
    expect(await bench.values(...calls.slice(1))).toEqual([101, 2, 102])
  })

  test.each([
    ['that does not parse', 'export default (x => ', /SyntaxError/],
    ['that throws when loaded', 'throw new Error("at load")', /at load/],
    ['without the function', 'export default 5', /must be a function/],
  ])('fails the calls of a module %s', async (_name, source, reason) => {
    const bench = await open()
    const fine = bench.fixture.operation(double)
    const [bad, good] = bench.run(bench.call(bench.fixture.operation(source), []), bench.call(fine, [2]))
    const error = await bench.error(bad as Call)
    expect(error.code).toBe('E_CODE')
    expect(error.message).toMatch(reason)
    expect(await bench.values(good as Call)).toEqual([4])
  })

  test('names what a function used from outside', async () => {
    const bench = await open()
    const [call] = bench.run(bench.call(bench.fixture.operation('export default () => helper(1)'), []))
    const error = await bench.error(call as Call)
    expect(error.code).toBe('E_CODE')
    expect(error.message).toContain('"helper"')
  })

  test('fails only the call whose result or argument cannot travel', async () => {
    const bench = await open()
    const operation = bench.fixture.operation(
      `export default (how) =>
         how === 'function' ? { a: [() => 1] } : how === 'proxy' ? new Proxy(new Map(), {}) : how`,
    )
    const hows = ['before', 'function', 'proxy', 'after']
    const calls = bench.run(
      ...hows.map((how) => bench.call(operation, [how])),
      bench.call(operation, [() => 1]),
    )
    const [before, result, proxy, after, argument] = calls as [Call, Call, Call, Call, Call]
    expect(await bench.values(before, after)).toEqual(['before', 'after'])
    expect(await bench.error(result)).toMatchObject({ code: 'E_NOT_SERIALIZABLE' })
    expect((await bench.error(result)).message).toContain('$.a[0]')
    expect(await bench.error(proxy)).toMatchObject({ code: 'E_NOT_SERIALIZABLE' })
    expect(await bench.error(argument)).toMatchObject({ code: 'E_NOT_SERIALIZABLE' })
  })

  test('refuses calls for a processor that it has not', async () => {
    const bench = await open()
    const call = bench.call(bench.fixture.operation(double), [1])
    bench.fixture.host.execute('nobody/worker/9' as ProcessorId, [call])
    expect(bench.ended.size).toBe(0)
    expect(await bench.end(call)).toEqual([{ status: 'refused' }])
  })
}

function stoppingTests(open: Open, deadlySource: string | null): void {
  const works = async (bench: Bench): Promise<void> => {
    const [call] = bench.run(bench.call(bench.fixture.operation(double), [4]))
    expect(await bench.values(call as Call)).toEqual([8])
  }

  test.each([
    ['spins', spinForever],
    ['waits for ever', 'export default () => new Promise(() => {})'],
  ])('ends a call in time whose body %s', async (_name, source) => {
    const bench = await open()
    const [call] = bench.run(bench.call(bench.fixture.operation(source), [], { timeoutMs: 60 }))
    expect(await bench.error(call as Call)).toMatchObject({ code: 'E_TASK_TIMEOUT' })
    expect(bench.ended.get((call as Call).callId)?.ranMs).toBeGreaterThanOrEqual(50)
    await works(bench)
  })

  test('leaves a timed call alone that ends in time', async () => {
    const bench = await open()
    const [call] = bench.run(bench.call(bench.fixture.operation(double), [1], { timeoutMs: 60_000 }))
    expect(await bench.values(call as Call)).toEqual([2])
  })

  test('stops a call that runs and gives back those behind it', async () => {
    const bench = await open()
    const quick = bench.fixture.operation(double)
    const spin = bench.fixture.operation(spinForever)
    const calls = bench.run(bench.call(quick, [1]), bench.call(spin, []), bench.call(quick, [2]))
    const [before, running, behind] = calls as [Call, Call, Call]
    await bench.values(before)
    bench.fixture.host.abort(bench.processor, [running.callId])
    expect(await bench.end(running)).toMatchObject([{ status: 'cancelled' }])
    // Done: the abort came while the code of the call was still being loaded.
    expect(['refused', 'done']).toContain((await bench.end(behind))[0]?.status)
    await works(bench)
  })

  test('drops calls that have not started and lets the running one end', async () => {
    const bench = await open()
    const hold = bench.fixture.operation(
      `export default (name) => new Promise((resolve) => {
         const channel = new BroadcastChannel(name)
         channel.onmessage = () => { channel.close(); resolve('ended') }
         channel.postMessage('here')
       })`,
    )
    const spawning = bench.fixture.operation(
      'export const takesContext = true\nexport default (ctx) => { ctx.mesh.spawn(() => 1) }',
    )
    const gate = bench.fixture.gate('gate')
    const [running, dropped] = bench.run(bench.call(hold, ['gate']), bench.call(spawning, [])) as [Call, Call]
    bench.fixture.host.abort(bench.processor, [dropped.callId])
    expect(await bench.end(dropped)).toMatchObject([{ status: 'cancelled' }])
    gate.open()
    expect(await bench.values(running)).toEqual(['ended'])
    expect(bench.requests).toEqual([])
  })

  test('asks a body with a context to stop before it uses force', async () => {
    const bench = await open(true)
    const polite = bench.fixture.operation(
      `export const takesContext = true
       export default (ctx) => new Promise((_, reject) => {
         ctx.mesh.spawn(() => 1).then(() => {}, () => {})
         ctx.signal.addEventListener('abort', () => { globalThis.wasAsked = true; reject(ctx.signal.reason) })
       })`,
    )
    const [call] = bench.run(bench.call(polite, [])) as [Call]
    await bench.request('spawn')
    bench.fixture.host.abort(bench.processor, [call.callId])
    expect(await bench.end(call)).toMatchObject([{ status: 'cancelled' }])
    const probe = bench.fixture.operation('export default () => globalThis.wasAsked === true')
    const [same] = bench.run(bench.call(probe, [])) as [Call]
    expect(await bench.values(same)).toEqual([true])
  })

  test('ends everything once when it is closed', async () => {
    const bench = await open()
    const spin = bench.fixture.operation(spinForever)
    const calls = bench.run(bench.call(spin, []), bench.call(spin, []))
    await bench.fixture.host.close()
    await bench.fixture.host.close()
    expect(await bench.end(...calls)).toEqual([{ status: 'refused' }, { status: 'refused' }])
    expect(bench.fixture.host.processors).toEqual([])
  })

  test.skipIf(deadlySource === null)('replaces a processor that died under a body', async () => {
    const bench = await open()
    const quick = bench.fixture.operation(double)
    const deadly = bench.fixture.operation(deadlySource ?? '')
    const calls = bench.run(bench.call(quick, [1]), bench.call(deadly, []), bench.call(quick, [2]))
    const [, dying, behind] = calls as [Call, Call, Call]
    expect(await bench.end(dying, behind)).toEqual([{ status: 'lost' }, { status: 'refused' }])
    await works(bench)
  })

  test.skipIf(deadlySource === null)(
    'takes a processor away that keeps dying, and brings it back',
    async () => {
      const bench = await open()
      const deadly = bench.fixture.operation(deadlySource ?? '')
      for (let round = 0; round < 3; round++) await bench.end(...bench.run(bench.call(deadly, [])))
      await bench.until(() => bench.fixture.host.processors.length === 1)
      expect(await bench.end(...bench.run(bench.call(deadly, [])))).toEqual([{ status: 'refused' }])
      await bench.until(() => bench.fixture.host.processors.length === 2)
      await works(bench)
    },
  )
}

function askingTests(open: Open): void {
  const nesting = `export const takesContext = true
    export default async (ctx, x) => {
      const child = ctx.mesh.spawn((y) => y + 1, x)
      const next = ctx.mesh.spawn((y) => y * 10, child)
      return [await next, ctx.idempotencyKey, ctx.attempt]
    }`
  const accept = async (bench: Bench, no: number): Promise<TaskRef> => {
    const asked = await bench.request('spawn')
    const { parent, requests } = asked
    const accepted = requests.map(({ seq }) => ({ seq, no: no + seq }))
    bench.requests.splice(bench.requests.indexOf(asked), 1)
    bench.fixture.host.childrenAccepted(job, parent, accepted)
    return { job, no }
  }

  test('spawns children, waits for them, and lets others run meanwhile', async () => {
    const bench = await open()
    const [parent] = bench.run(bench.call(bench.fixture.operation(nesting), [5])) as [Call]
    const first = await bench.request('spawn')
    expect(first).toMatchObject({
      job,
      parent: { no: parent.no, attempt: 1 },
      requests: [{ seq: 0, needs: [] }],
    })
    expect(bench.fixture.value(first.requests[0]?.args as Payload)).toEqual([5])
    expect(bench.fixture.added()).toContain(first.requests[0]?.operation)
    const child = await accept(bench, 100)
    const second = await bench.request('spawn')
    expect(second.requests).toMatchObject([{ seq: 1, needs: [{ index: 0, task: child }] }])
    await accept(bench, 100)
    const ref = { job, no: 101 }
    expect((await bench.request('watch')).refs).toEqual([ref])
    expect(await bench.request('yield')).toEqual({ type: 'yield', callId: parent.callId })
    const [other] = bench.run(bench.call(bench.fixture.operation(double), [3])) as [Call]
    expect(await bench.values(other)).toEqual([6])
    bench.fixture.host.taskSettled(ref, { status: 'done', value: bench.fixture.payload(60), processor: null })
    expect(await bench.values(parent)).toEqual([[60, `${job}/${parent.no}`, 1]])
    expect(await bench.request('resume')).toEqual({ type: 'resume', callId: parent.callId })
  })

  test('lets others run also when a body waits before it gives its promise back', async () => {
    const bench = await open()
    const source = `export const takesContext = true
      export default (ctx) => ctx.mesh.spawn(() => 1).fetch()`
    const [parent, behind] = bench.run(
      bench.call(bench.fixture.operation(source), []),
      bench.call(bench.fixture.operation(double), [3]),
    ) as [Call, Call]
    const ref = await accept(bench, 9)
    expect(await bench.values(behind)).toEqual([6])
    expect((await bench.request('watch')).refs).toEqual([ref])
    const outcome = { status: 'done', value: bench.fixture.payload('child'), processor: null } as const
    bench.fixture.host.taskSettled(ref, outcome)
    expect(await bench.values(parent)).toEqual(['child'])
  })

  test('gives a body the failure of its child', async () => {
    const bench = await open()
    const source = `export const takesContext = true
      export default async (ctx) => {
        try { return await ctx.mesh.spawn(() => 1) }
        catch (error) { return [error.name, error.code, error.originTaskId, error.cause.message] }
      }`
    const [parent] = bench.run(bench.call(bench.fixture.operation(source), [])) as [Call]
    const ref = await accept(bench, 7)
    await bench.request('watch')
    const error = { name: 'Error', message: 'inner', code: null, stack: null, cause: null, fields: null }
    bench.fixture.host.taskSettled(ref, { status: 'failed', error, origin: ref, attempts: 1, peer: null })
    expect(await bench.values(parent)).toEqual([['TaskFailedError', 'E_TASK_FAILED', `${job}/7`, 'inner']])
  })

  test('asks to cancel a child, and spawns the body itself by its name', async () => {
    const bench = await open()
    const source = `export const takesContext = true
      export default async function again(ctx, n) { ctx.mesh.spawn(again, n - 1).cancel('not needed'); return n }`
    const operation = bench.fixture.operation(source)
    const [parent] = bench.run(bench.call(operation, [3])) as [Call]
    const { requests } = await bench.request('spawn')
    expect(requests).toMatchObject([{ operation }])
    expect(await bench.values(parent)).toEqual([3])
  })
}
