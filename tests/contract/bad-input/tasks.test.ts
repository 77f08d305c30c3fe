import {
  type JobId,
  type OperationHash,
  PackedPayload,
  type PeerId,
  type ProcessorId,
  ShoalError,
} from '@shoal/scheduler'
import type { ProcessorHostFixture } from '@shoal/scheduler/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { limits } from '../../../packages/mesh/src/limits.ts'
import { packMessages } from '../../../packages/mesh/src/wire/batch.ts'
import { unpackBody } from '../../../packages/mesh/src/wire/body.ts'
import { readMessage } from '../../../packages/mesh/src/wire/messages.ts'
import type { Call } from '../../../packages/scheduler/src/core/effects.ts'
import type { CallEnded } from '../../../packages/scheduler/src/core/events.ts'
import { startNodeWorker } from '../../../packages/sdk/src/processors/worker.node.ts'
import { createWorkerHostFixture } from '../../support/worker-host-fixture.ts'

let fixture: ProcessorHostFixture
let processor: ProcessorId
let nextCallId = 1
const ended = new Map<number, (entry: CallEnded) => void>()

beforeAll(() => {
  // A heap of its own size: a body that eats memory must not take long.
  fixture = createWorkerHostFixture(
    () => startNodeWorker({ resourceLimits: { maxOldGenerationSizeMb: 96 } }),
    'packed',
    false,
  )
  processor = fixture.host.processors[0]?.id as ProcessorId
  fixture.host.onEnded((entries) => {
    for (const entry of entries) ended.get(entry.callId)?.(entry)
  })
})
afterAll(() => fixture.host.close())

function run(
  operation: OperationHash,
  args: readonly unknown[],
  timeoutMs = 0,
): Promise<CallEnded['outcome']> {
  const callId = nextCallId++
  const call: Call = {
    callId,
    job: 'job' as JobId,
    no: callId,
    attempt: 1,
    operation,
    args: fixture.payload(args),
    items: null,
    inputs: [],
    timeoutMs,
    owner: 'owner' as PeerId,
  }
  return new Promise((resolve) => {
    ended.set(callId, ({ outcome }) => resolve(outcome))
    fixture.host.execute(processor, [call])
  })
}

interface Row {
  readonly name: string
  /** `null`: the body threw, and has no code of its own; `lost`: its worker died and was replaced. */
  readonly code: string | null
  readonly source?: string
  readonly args?: readonly unknown[]
  readonly timeoutMs?: number
  readonly operation?: OperationHash
  readonly message?: RegExp
}

const rows: readonly Row[] = [
  {
    name: '[45] code that nobody has',
    code: 'E_NO_FUNCTION',
    operation: `${'0'.repeat(64)}#default` as OperationHash,
  },
  { name: '[47] a syntax error', code: 'E_CODE', source: 'export default (x => ', message: /SyntaxError/ },
  { name: '[47] a module that throws', code: 'E_CODE', source: 'throw new Error("at load")' },
  {
    name: '[47] a name from outside',
    code: 'E_CODE',
    source: 'export default () => helper(1)',
    message: /"helper"/,
  },
  {
    name: '[54] a result that cannot travel',
    code: 'E_NOT_SERIALIZABLE',
    source: 'export default () => ({ a: [() => 1] })',
    message: /\$\.a\[0\]/,
  },
  {
    name: '[54] an argument that cannot travel',
    code: 'E_NOT_SERIALIZABLE',
    source: 'export default (x) => x',
    args: [() => 1],
  },
  {
    name: '[61] a result that throws when it is looked at',
    code: null,
    source: `export default () => new Proxy({}, {
      get() { throw 1 }, has() { throw 2 }, ownKeys() { throw 3 }, getPrototypeOf() { throw 4 },
      getOwnPropertyDescriptor() { throw 5 },
    })`,
  },
  {
    name: '[57] an endless loop',
    code: 'E_TASK_TIMEOUT',
    source: 'export default () => { for (;;); }',
    timeoutMs: 60,
  },
  {
    name: '[57] an endless wait',
    code: 'E_TASK_TIMEOUT',
    source: 'export default () => new Promise(() => {})',
    timeoutMs: 60,
  },
  {
    name: '[58] a body that eats all memory',
    code: 'lost',
    source:
      'export default () => { const kept = []; for (;;) kept.push(new Array(100000).fill(kept.length)) }',
  },
  { name: '[61] no error but a number', code: null, source: 'export default () => { throw 5 }' },
  { name: '[61] nothing at all', code: null, source: 'export default () => { throw undefined }' },
  {
    name: '[61] an error whose fields throw',
    code: null,
    source: `export default () => {
      throw new Proxy(new Error('x'), { get() { throw new Error('caught you') }, ownKeys() { throw 1 } })
    }`,
  },
  {
    name: '[61] an error whose getters throw',
    code: null,
    source: `export default () => {
      const error = new Error('x')
      for (const key of ['message', 'name', 'stack', 'cause', 'more']) {
        Object.defineProperty(error, key, { enumerable: true, get() { throw new Error('caught you') } })
      }
      throw error
    }`,
  },
  {
    name: '[61] a message of 10 MB',
    code: null,
    source: `export default () => { throw new Error('x'.repeat(10_000_000)) }`,
    message: /^x{1,8192}.{0,16}$/,
  },
]

describe('a body that cannot be run, or ends badly, fails alone, and the next good one runs', () => {
  test.each(rows)('$name: $code', async ({ code, source, operation, args, timeoutMs, message }) => {
    const bad = operation ?? fixture.operation(source as string)
    const outcome = await run(bad, args ?? [], timeoutMs)
    if (code === 'lost') expect(outcome).toEqual({ status: 'lost' })
    else {
      if (outcome.status !== 'failed') throw new Error(`expected a failure: ${JSON.stringify(outcome)}`)
      expect(outcome.error.code).toBe(code)
      expect(outcome.error.message.length).toBeLessThanOrEqual(8_300)
      if (message !== undefined) expect(outcome.error.message).toMatch(message)
    }
    const next = await run(fixture.operation('export default (x) => x * 2'), [4])
    expect(next.status === 'done' && fixture.value(next.value)).toBe(8)
  })

  test('[55] a result that is larger than any message: E_TOO_LARGE instead, and the next one goes', () => {
    const result = (no: number, value: Uint8Array) => {
      const outcome = { status: 'done' as const, value: new PackedPayload(value) }
      return { no, attempt: 1, outcome, ranMs: 1 }
    }
    const results = [result(0, new Uint8Array(limits.messageBytesMax)), result(1, Uint8Array.of(1))]
    const unsent: unknown[] = []
    const bodies = packMessages(
      [{ type: 'results', job: 'job' as JobId, epoch: 1, results }],
      (_message, error) => unsent.push(error),
    )
    const arrived = bodies.flatMap((body) => {
      expect(body.length).toBeLessThan(limits.messageBytesMax)
      const messages = (unpackBody(body) as readonly unknown[]).map((one) => readMessage(one, 'p' as PeerId))
      return messages.flatMap((one) => (one.type === 'results' ? one.results : []))
    })
    expect(unsent.every((error) => error instanceof ShoalError)).toBe(true)
    expect(
      arrived.map(({ outcome }) => (outcome.status === 'failed' ? outcome.error.code : outcome.status)),
    ).toEqual(['E_TOO_LARGE', 'done'])
  })
})
