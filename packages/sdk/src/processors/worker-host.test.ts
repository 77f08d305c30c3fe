import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import {
  type Call,
  type CallEnded,
  type JobId,
  type OperationRecord,
  type PeerId,
  type ProcessorRecord,
  type RangeItems,
  readColumn,
  type SliceOutcome,
} from '@shoal/scheduler'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { markContext, operationFrom } from '../code/index.ts'
import { LivePayload, payloadValue, toCells, toColumn } from '../values/index.ts'
import { createWorkerHost, type WorkerHost, type WorkerHostOptions } from './index.ts'
import { type NodeWorkerOptions, startNodeWorker } from './worker.node.ts'

const peer = 'peer-1' as PeerId
const hosts: WorkerHost[] = []
const known = new Map<string, OperationRecord>()
let nextCallId = 1

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.close()
})

function open(
  count: number,
  worker: NodeWorkerOptions = {},
  options: Pick<WorkerHostOptions, 'resultForm'> = {},
): WorkerHost {
  const host = createWorkerHost({
    ...options,
    peer,
    count,
    startWorker: () => startNodeWorker(worker),
    operations: {
      add: (operation) => void known.set(operation.hash, operation),
      get: (hash) => known.get(hash) ?? null,
      fetch: () => Promise.reject(new Error('unused')),
    },
  })
  hosts.push(host)
  return host
}

function callOf(body: unknown, ...args: unknown[]): Call {
  const operation = operationFrom(body)
  known.set(operation.hash, operation)
  const callId = nextCallId++
  const owner = peer
  const rest = { attempt: 1, items: null, inputs: [], timeoutMs: 0, owner, job: 'job' as JobId, no: callId }
  return { callId, operation: operation.hash, args: new LivePayload(args), ...rest }
}

/** Runs one call on the first processor, or on the one at `index`. */
function run(host: WorkerHost, call: Call, index = 0): Promise<CallEnded['outcome']> {
  const ended = outcomeOf(host, call)
  host.execute((host.processors[index] as ProcessorRecord).id, [call])
  return ended
}

function outcomeOf(host: WorkerHost, call: Call): Promise<CallEnded['outcome']> {
  return new Promise((resolve) => {
    const stop = host.onEnded((ended) => {
      const found = ended.find(({ callId }) => callId === call.callId)
      if (found === undefined) return
      stop()
      resolve(found.outcome)
    })
  })
}

function resultOf(outcome: CallEnded['outcome']): unknown {
  if (outcome.status !== 'done') throw new Error(`expected a value: ${JSON.stringify(outcome)}`)
  return payloadValue(outcome.value)
}

describe('lend()', () => {
  test('[RC7] offers a worker once it runs: no task waits for its start', async () => {
    const host = open(1)
    await host.ready()
    const offered: number[] = []
    host.onProcessors((processors) => offered.push(processors.length))
    const lent = host.lend(3)
    expect(host.processors).toHaveLength(1)
    await lent
    expect(host.processors).toHaveLength(3)
    await host.lend(0)
    const again = host.lend(1)
    expect(host.processors).toHaveLength(0)
    await again
    expect(host.processors).toHaveLength(1)
    expect(offered.at(-1)).toBe(1)
  })

  test('starts workers, and ends surplus ones after what they run', async () => {
    const host = open(1)
    await host.lend(3)
    expect(host.workers).toBe(3)
    expect(host.processors.map(({ id }) => id)).toEqual([0, 1, 2].map((index) => `${peer}/worker/${index}`))
    const slow = callOf(async (name: string) => {
      const channel = new BroadcastChannel(name)
      const told = new Promise((resolve) => {
        channel.onmessage = resolve
      })
      channel.postMessage('here')
      await told
      channel.close()
      return 'ended'
    }, 'lend-gate')
    const behind = callOf(() => 1)
    const gate = new BroadcastChannel('lend-gate')
    const isRunning = new Promise((resolve) => {
      gate.onmessage = resolve
    })
    const [slowEnd, behindEnd] = [outcomeOf(host, slow), outcomeOf(host, behind)]
    host.execute((host.processors[2] as ProcessorRecord).id, [slow, behind])
    await isRunning
    const lent = host.lend(1)
    expect(host.processors).toHaveLength(1)
    expect(await behindEnd).toEqual({ status: 'refused' })
    gate.postMessage('go')
    expect(resultOf(await slowEnd)).toBe('ended')
    await lent
    gate.close()
    await host.lend(0)
    expect(host.processors).toEqual([])
  })

  test('refuses what is no count', async () => {
    await expect(open(0).lend(1.5)).rejects.toMatchObject({ code: 'E_OPTION' })
  })
})

describe('a worker thread', () => {
  test('that runs out of memory is replaced', async () => {
    const host = open(1, { resourceLimits: { maxOldGenerationSizeMb: 24 } })
    const bomb = callOf(() => {
      const kept: number[][] = []
      for (;;) kept.push(new Array<number>(100_000).fill(kept.length))
    })
    expect(await run(host, bomb)).toEqual({ status: 'lost' })
    expect(
      resultOf(
        await run(
          host,
          callOf((x: number) => x + 1, 1),
        ),
      ),
    ).toBe(2)
  })

  test('survives a rejection that a body left behind', async () => {
    const host = open(1)
    const careless = callOf(() => {
      Promise.reject(new Error('left behind, on purpose'))
      Object.assign(globalThis, { mark: 'same worker' })
      return 1
    })
    expect(resultOf(await run(host, careless))).toBe(1)
    const probe = callOf(() => (globalThis as { mark?: string }).mark)
    expect(resultOf(await run(host, probe))).toBe('same worker')
  })

  test('tells progress, and refuses progress that is none', async () => {
    const host = open(1)
    const told: number[] = []
    host.onProgress(({ fraction }) => told.push(fraction))
    const body = markContext((ctx: { progress(fraction: number): void }) => {
      ctx.progress(0.5)
      ctx.progress(1)
      ctx.progress(2)
    })
    const outcome = await run(host, callOf(body))
    expect(outcome).toMatchObject({ status: 'failed', error: { code: 'E_OPTION' } })
    expect(told).toEqual([0.5, 1])
  })

  test('shows short names in stacks, not the text of the code', async () => {
    const host = open(1)
    const outcome = await run(
      host,
      callOf(function breaks() {
        throw new Error('here')
      }),
    )
    if (outcome.status !== 'failed') throw new Error('expected a failure')
    expect(outcome.error.stack).toMatch(/shoal\/breaks-[0-9a-f]{8}\.js/)
    expect(outcome.error.stack).not.toContain('base64')
  })

  test('is measured once it is idle', async () => {
    const host = open(1)
    const [processor] = await new Promise<readonly ProcessorRecord[]>((resolve) => {
      host.onProcessors(resolve)
    })
    expect(processor?.score).toBeGreaterThan(0)
  })
})

test('an idle host does not keep the process alive', async () => {
  const program = fileURLToPath(new URL('./testing/idle-host.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', '--conditions=development', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.on('data', (data) => {
    said += String(data)
  })
  onTestFinished(() => void child.kill())
  const [code] = await once(child, 'exit')
  expect({ code, said }).toEqual({ code: 0, said: 'ready\n' })
})

describe('a slice in a room', () => {
  const slice = (body: unknown, items: RangeItems): Call => ({ ...callOf(body), items })
  const sliced = async (body: unknown, items: RangeItems): Promise<SliceOutcome> => {
    const host = open(1, {}, { resultForm: 'packed' })
    const outcome = await run(host, slice(body, items))
    if (outcome.status !== 'sliced') throw new Error(`expected a slice: ${JSON.stringify(outcome)}`)
    return outcome
  }
  const read = ({ values }: SliceOutcome): unknown[] =>
    Array.from({ length: values.count }, (_, index) => payloadValue(values.at(index)))

  test('[RG3] of numbers gives numbers, in a form that travels', async () => {
    const outcome = await sliced((x: number) => x * 2, toColumn(Float64Array.of(1, 2, 3), true))
    expect(readColumn(outcome.values.pack()).numbers).toEqual(Float64Array.of(2, 4, 6))
  })

  test('[RG3] takes arguments of any kind, one or several, and gives values of any kind', async () => {
    const cells = toCells([
      [1, 'a'],
      [2, null],
      [3, { deep: [undefined] }],
    ])
    const outcome = await sliced((x: number, y: unknown) => ({ x, y }), toColumn(cells ?? [], false))
    expect(readColumn(outcome.values.pack()).count).toBe(3)
    expect(read(outcome)).toEqual([
      { x: 1, y: 'a' },
      { x: 2, y: null },
      { x: 3, y: { deep: [undefined] } },
    ])
  })

  test('[RG3] tells apart who threw, and values that are too big to travel with the others', async () => {
    const body = (x: number): unknown => {
      if (x === 1) throw new RangeError('one')
      return x === 2 ? new Uint8Array(100_000) : x
    }
    const outcome = await sliced(body, toColumn(Float64Array.of(0, 1, 2, 3), true))
    expect([0, 3].map((index) => payloadValue(outcome.values.at(index)))).toEqual([0, 3])
    const [bad, big] = outcome.apart.toSorted((left, right) => left.index - right.index)
    expect(bad).toMatchObject({ index: 1, outcome: { status: 'failed', error: { name: 'RangeError' } } })
    expect(big?.index).toBe(2)
    expect(big?.outcome.status === 'done' && payloadValue(big.outcome.value)).toEqual(new Uint8Array(100_000))
  })

  test('[RG3] gives items back when its values are many bytes', async () => {
    const outcome = await sliced(() => 'x'.repeat(10_000), toColumn(new Float64Array(100), true))
    expect(outcome.values.count).toBe(4)
  })
})
