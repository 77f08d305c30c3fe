import {
  type JobId,
  type OperationHash,
  type OperationRecord,
  type PeerId,
  type ProcessorId,
  ShoalError,
} from '@shoal/scheduler'
import { kernel, type Operation } from '@shoal/sdk'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Call } from '../../packages/scheduler/src/core/effects.ts'
import type { CallEnded } from '../../packages/scheduler/src/core/events.ts'
import { createGpuHost, type GpuHandle, type GpuHost } from '../../packages/sdk/src/processors/index.ts'
import { LivePayload, payloadValue } from '../../packages/sdk/src/values/index.ts'

type AnyOperation = Operation<readonly never[], unknown>

/** A GPU host with what it is asked and what it answers. */
interface Bench {
  readonly host: GpuHost
  /** Operations that only the task's owner has. */
  readonly elsewhere: Map<OperationHash, OperationRecord>
  run(operation: AnyOperation, args: readonly unknown[], timeoutMs?: number): Run
  /** Resolves when the GPU is lent, or is not. */
  whenLent(isLent: boolean): Promise<void>
}

interface Run {
  readonly callId: number
  readonly outcome: Promise<CallEnded['outcome']>
}

function createBench(startGpu: () => GpuHandle, resultForm: 'live' | 'packed'): Bench {
  const here = new Map<OperationHash, OperationRecord>()
  const elsewhere = new Map<OperationHash, OperationRecord>()
  const host = createGpuHost({
    peer: 'peer-1' as PeerId,
    startGpu,
    resultForm,
    operations: {
      add: (operation) => void here.set(operation.hash, operation),
      get: (hash) => here.get(hash) ?? null,
      async fetch(hash) {
        const found = elsewhere.get(hash)
        if (found === undefined) throw new ShoalError('E_NO_FUNCTION', 'nobody has it')
        return found
      },
    },
  })
  const waiting = new Map<number, (outcome: CallEnded['outcome']) => void>()
  host.onEnded((ended) => {
    for (const { callId, outcome } of ended) {
      waiting.get(callId)?.(outcome)
      // A second end of one call would find nobody, and fail the test.
      if (!waiting.delete(callId)) throw new Error(`call ${callId} ended twice`)
    }
  })
  let callsMade = 0
  return {
    host,
    elsewhere,
    run({ record }, args, timeoutMs = 0) {
      const callId = ++callsMade
      if (!elsewhere.has(record.hash)) here.set(record.hash, record)
      const call: Call = {
        callId,
        job: 'job' as JobId,
        no: callId,
        attempt: 1,
        operation: record.hash,
        args: new LivePayload(args),
        items: null,
        inputs: [],
        timeoutMs,
        owner: 'owner' as PeerId,
      }
      const outcome = new Promise<CallEnded['outcome']>((resolve) => waiting.set(callId, resolve))
      host.execute('peer-1/webgpu/0' as ProcessorId, [call])
      return { callId, outcome }
    },
    whenLent: (isLent) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (host.processors.length === Number(isLent)) resolve()
        }
        host.onProcessors(look)
        look()
      }),
  }
}

async function resultOf(run: Run): Promise<Record<string, unknown>> {
  const outcome = await run.outcome
  if (outcome.status === 'failed') throw new Error(`${outcome.error.code}: ${outcome.error.message}`)
  expect(outcome.status).toBe('done')
  return outcome.status === 'done' ? (payloadValue(outcome.value) as Record<string, unknown>) : {}
}

async function failureOf(run: Run): Promise<string> {
  const outcome = await run.outcome
  return outcome.status === 'failed' ? `${outcome.error.code}: ${outcome.error.message}` : outcome.status
}

const scale = kernel({
  wgsl: `struct Params { factor: f32, offset: vec2f, names: array<vec4u, 2> }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage> a: array<f32>;
    @group(1) @binding(0) var<storage, read_write> out: array<f32>;
    @group(1) @binding(3) var<storage, read_write> count: atomic<u32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x >= arrayLength(&out)) { return; }
      out[id.x] = a[id.x] * params.factor + params.offset.y + f32(params.names[1].w);
      atomicAdd(&count, 1u);
    }`,
  outputs: ['out', 'count'],
})
const params = {
  factor: 2,
  offset: [0, 100],
  names: [
    [0, 0, 0, 0],
    [0, 0, 0, 1_000],
  ],
}

const hog = kernel({
  wgsl: `@group(0) @binding(0) var<uniform> rounds: u32;
    @group(0) @binding(1) var<storage, read_write> out: array<u32, 1>;
    @compute @workgroup_size(1) fn main() {
      var x = 1u;
      for (var i = 0u; i < rounds; i++) { x ^= x << 13u; x ^= x >> 17u; x ^= x << 5u; }
      out[0] = x;
    }`,
  outputs: ['out'],
})

/** What every platform's GPU host keeps to. */
export function gpuHostContract(name: string, startGpu: () => GpuHandle): void {
  describe.each(['live', 'packed'] as const)(`${name}, %s results`, (form) => {
    let bench: Bench
    beforeAll(async () => {
      bench = createBench(startGpu, form)
      bench.host.lendGpu(true)
      await bench.whenLent(true)
    }, 30_000)
    afterAll(() => bench.host.close())

    test('[GP2][GP6] the GPU is one processor with a measured speed, not on by default', () => {
      expect(bench.host.processors).toEqual([
        { id: 'peer-1/webgpu/0', kind: 'webgpu', isDefault: false, score: expect.any(Number) },
      ])
      expect(bench.host.processors[0]?.score).toBeGreaterThan(0)
    })

    test('[GP3] arguments are bound by name, outputs are typed arrays', async () => {
      const value = await resultOf(bench.run(scale, [{ a: Float32Array.of(1, 2, 3), params }]))
      expect(value).toEqual({ out: Float32Array.of(1_102, 1_104, 1_106), count: Uint32Array.of(3) })
    })

    test('[GP3] an output may come in, and a part of a bigger buffer may', async () => {
      const big = Float32Array.of(9, 1, 2, 9)
      const args = { a: big.subarray(1, 3), out: new Float32Array(1), count: 40, params }
      expect(await resultOf(bench.run(scale, [args]))).toEqual({
        out: Float32Array.of(1_102),
        count: Uint32Array.of(41),
      })
    })

    test('[GP3] structs in lists, extents, constants, two directions', async () => {
      const table = kernel({
        wgsl: `struct Point { at: vec3f, weight: u32 }
          override shift: u32 = 0;
          @group(0) @binding(0) var<storage> points: array<Point>;
          @group(0) @binding(1) var<storage, read_write> rows: array<u32>;
          @compute @workgroup_size(8, 8) fn main(@builtin(global_invocation_id) id: vec3u) {
            if (id.x < 3 && id.y < 2) {
              let point = points[id.y];
              rows[id.y * 3 + id.x] = u32(point.at[id.x]) * point.weight + shift;
            }
          }
          @compute @workgroup_size(1) fn other() {}`,
        entry: 'main',
        outputs: { rows: ['size.width', 'points'] },
        threads: ['size.width', 'points'],
        constants: { shift: 5 },
      })
      const points = [
        { at: [1, 2, 3], weight: 10 },
        { at: Float32Array.of(4, 5, 6), weight: 1 },
      ]
      const value = await resultOf(bench.run(table, [{ points, size: { width: 3 } }]))
      expect(value).toEqual({ rows: Uint32Array.of(15, 25, 35, 9, 10, 11) })
    })

    test('[GP1] a kernel that only its owner has is fetched', async () => {
      const far = kernel({
        wgsl: `@group(0) @binding(0) var<storage, read_write> out: array<i32, 2>;
          @compute @workgroup_size(1) fn main() { out[1] = -7; }`,
        outputs: ['out'],
      })
      bench.elsewhere.set(far.record.hash, far.record)
      expect(await resultOf(bench.run(far, [{}]))).toEqual({ out: Int32Array.of(0, -7) })
    })

    const a = Float32Array.of(1)
    test.each([
      [[], 'its argument must be an object with params, a: current value is undefined'],
      [[a], 'its argument must be an object with params, a: current value is a Float32Array of 1'],
      [[{ a }], 'its argument must be an object with params, a: current value is an object with a'],
      [
        [{ a, params, b: 1 }],
        'must be an object with params, a: current value is an object with a, params, b',
      ],
      [[{ a: [1], params }], '"a" must be a Float32Array for array<f32>: current value is a list of 1'],
      [
        [{ a: Float64Array.of(1), params }],
        '"a" must be a Float32Array for array<f32>: current value is a Float64Array',
      ],
      [[{ a: new Float32Array(0), params }], '"a" must be a Float32Array'],
      [[{ a, params: 7 }], '"params" must be an object with factor, offset, names: current value is 7'],
      [[{ a, params: { ...params, more: 1 } }], '"params" must be an object with factor, offset, names'],
      [
        [{ a, params: { ...params, factor: '2' } }],
        '"params.factor" must be a number for f32: current value is a string',
      ],
      [
        [{ a, params: { ...params, offset: [1] } }],
        '"params.offset" must be 2 numbers for vec2f: current value is a list of 1',
      ],
      [[{ a, params: { ...params, offset: [1, '2'] } }], '"params.offset[1]" must be a number for f32'],
      [
        [
          {
            a,
            params: {
              ...params,
              names: [
                [0, 0, 0, 0],
                [0, 0, 0, -1],
              ],
            },
          },
        ],
        '"params.names[1][3]" must be a whole number from 0 to 4294967295 for u32: current value is -1',
      ],
      [[{ a, count: 0.5, params }], '"count" must be a whole number from 0 to 4294967295 for u32'],
      [[{ params }, ['a']], 'its argument must be one object: current value is 2 arguments'],
      [[{ params }, ['a'], [1]], '"a" must be a Float32Array for array<f32>: current value is a list of 1'],
      [[{ a, params: { ...params, names: [[0, 0, 0, 0]] } }], '"params.names" must be a list of 2 of vec4u'],
    ])('[GP3][74] %j fails and says what was expected', async (args, message) => {
      const failure = await failureOf(bench.run(scale, args))
      expect(failure).toContain('E_KERNEL_ARGUMENT: Cannot run a kernel as ')
      expect(failure).toContain(message)
    })

    test('[GP3] fields that came apart from the rest are put back', async () => {
      const value = await resultOf(bench.run(scale, [{ params }, ['a'], Float32Array.of(1)]))
      expect(value).toEqual({ out: Float32Array.of(1_102), count: Uint32Array.of(1) })
    })

    const sized = kernel({
      wgsl: `@group(0) @binding(0) var<uniform> n: u32;
        @group(0) @binding(1) var<storage, read_write> out: array<u32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) { out[id.x] = n; }`,
      outputs: { out: 'n' },
    })
    test.each([
      [Number.NaN, '"n" must be a whole number from 0 to 4294967295 for u32: current value is NaN'],
      [0, '"n" must be a whole number from 1: current value is 0'],
      [2 ** 23, '"workgroups" must be at most 65535 in each direction'],
      [2 ** 32 - 1, '"workgroups" must be at most 65535 in each direction'],
    ])('[GP3] a size of %d fails and says why, and the next one runs', async (n, message) => {
      expect(await failureOf(bench.run(sized, [{ n }]))).toContain(message)
      expect(await resultOf(bench.run(sized, [{ n: 2 }]))).toEqual({ out: Uint32Array.of(2, 2) })
    })

    test('[GP3] more bytes than the GPU takes in one binding fail before any of them is there', async () => {
      const big = kernel({
        wgsl: `@group(0) @binding(0) var<storage, read_write> out: array<u32>;
          @compute @workgroup_size(1) fn main() { out[0] = 1; }`,
        outputs: { out: [65_536, 65_536] },
        workgroups: 1,
      })
      expect(await failureOf(bench.run(big, [{}]))).toMatch(
        /E_KERNEL_ARGUMENT: .*"out" must be at most \d+ bytes on this GPU: current value is 17179869184/,
      )
    })

    const empty = '@compute @workgroup_size(1) fn main() {}'
    test.each([
      ['fn main( {', {}, 'its WGSL must be valid: current value is 1:'],
      [empty, {}, 'output "out" must be a read_write storage variable'],
      [empty, { entry: 'other' }, '"other" must be one: current value is main'],
      [`${empty}${empty.replace('main', 'two')}`, {}, '"entry" must name one of its compute entry points'],
    ])('[63] WGSL that does not do: %j %j', async (wgsl, more, message) => {
      const failure = await failureOf(bench.run(kernel({ wgsl, outputs: ['out'], ...more }), [{}]))
      expect(failure).toContain('E_WGSL: ')
      expect(failure).toContain(message)
    })

    test('[GP4] what waits can be cancelled, and what runs is thrown away', async () => {
      const first = bench.run(hog, [{ rounds: 3_000_000 }])
      const waiting = bench.run(hog, [{ rounds: 1 }])
      const last = bench.run(hog, [{ rounds: 1 }])
      const id = 'peer-1/webgpu/0' as ProcessorId
      bench.host.abort(id, [first.callId, waiting.callId])
      expect((await first.outcome).status).toBe('cancelled')
      expect((await waiting.outcome).status).toBe('cancelled')
      expect(await resultOf(last)).toEqual({ out: Uint32Array.of(270_369) })
    })

    test('[GP4][64] a kernel that takes too long costs its GPU a pause, and nobody else anything', async () => {
      // Long enough to be too long, and short enough for a GPU that nothing can stop.
      const startedAt = performance.now()
      await resultOf(bench.run(hog, [{ rounds: 4_000_000 }]))
      const roundsPerMs = 4_000_000 / (performance.now() - startedAt)
      const long = bench.run(hog, [{ rounds: Math.round(roundsPerMs * 2_000) }], 300)
      const next = bench.run(hog, [{ rounds: 1 }])
      expect(await failureOf(long)).toContain(
        'E_GPU_TIMEOUT: Cannot finish the kernel as it must end within 300 ms',
      )
      expect((await next.outcome).status).toBe('refused')
      await bench.whenLent(false)
      expect((await bench.run(hog, [{ rounds: 1 }]).outcome).status).toBe('refused')
      await bench.whenLent(true)
      expect(await resultOf(bench.run(hog, [{ rounds: 1 }]))).toEqual({ out: Uint32Array.of(270_369) })
    }, 60_000)

    test('a GPU that is not lent any more ends what runs', async () => {
      const running = bench.run(hog, [{ rounds: 1_000_000 }])
      bench.host.lendGpu(false)
      expect(bench.host.processors).toEqual([])
      expect((await running.outcome).status).toBe('done')
      bench.host.lendGpu(true)
      await bench.whenLent(true)
      expect(await resultOf(bench.run(hog, [{ rounds: 1 }]))).toEqual({ out: Uint32Array.of(270_369) })
    })
  })
}
