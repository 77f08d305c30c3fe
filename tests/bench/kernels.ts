import { type KernelArray, kernel, localMesh, scope } from '@shoal/sdk'
import { check, median, paired, type Row, rowsOf } from './stats.ts'

/*
 * B9: one Mandelbrot kernel, by hand and through the scheduler, on the GPU and on one JS worker.
 */

const side = 512
type Arguments = { readonly size: { readonly side: number; readonly limit: number } }
type Outputs = { readonly counts: Uint32Array<ArrayBuffer> }

const wgsl = `struct Size { side: u32, limit: u32 }
@group(0) @binding(0) var<uniform> size: Size;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = vec2f(f32(id.x % size.side), f32(id.x / size.side)) * (3.0 / f32(size.side)) - vec2f(2.0, 1.5);
  var z = vec2f();
  var n = 0u;
  while (n < size.limit && dot(z, z) <= 4.0) { z = vec2f(z.x * z.x - z.y * z.y, 2.0 * z.x * z.y) + c; n++; }
  counts[id.x] = n;
}`

function onWorker({ size }: Arguments): Outputs {
  const { side, limit } = size
  const counts = new Uint32Array(side * side)
  for (let at = 0; at < counts.length; at++) {
    const cx = (at % side) * (3 / side) - 2
    const cy = Math.floor(at / side) * (3 / side) - 1.5
    let x = 0
    let y = 0
    let n = 0
    while (n < limit && x * x + y * y <= 4) {
      const next = x * x - y * y + cx
      y = 2 * x * y + cy
      x = next
      n++
    }
    counts[at] = n
  }
  return { counts }
}

type Draw = (args: Arguments) => Promise<Outputs>

/** A worker as one writes it without any library. */
function workerByHand(): { readonly draw: Draw; end(): void } {
  const text = `const draw = ${onWorker.toString()}
    onmessage = ({ data }) => { const out = draw(data); postMessage(out, [out.counts.buffer]) }`
  const worker = new Worker(URL.createObjectURL(new Blob([text], { type: 'text/javascript' })))
  return {
    draw: (args) =>
      new Promise((resolve) => {
        worker.onmessage = ({ data }) => resolve(data)
        worker.postMessage(args)
      }),
    end: () => worker.terminate(),
  }
}

/** WebGPU as one writes it without any library; the buffers of every call are its own, as in a task. */
async function gpuByHand(): Promise<Draw> {
  const adapter = await navigator.gpu.requestAdapter()
  const device = await adapter?.requestDevice()
  if (device === undefined) throw new Error('Cannot measure as the browser must have an adapter')
  const module = device.createShaderModule({ code: wgsl })
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } })
  return async ({ size }) => {
    const bytes = size.side ** 2 * 4
    const uniform = device.createBuffer({ size: 8, usage: 0x48 })
    const counts = device.createBuffer({ size: bytes, usage: 0x84 })
    const staged = device.createBuffer({ size: bytes, usage: 0x9 })
    device.queue.writeBuffer(uniform, 0, Uint32Array.of(size.side, size.limit))
    const resources = [uniform, counts].map((buffer, binding) => ({ binding, resource: { buffer } }))
    const encoder = device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    pass.setPipeline(pipeline)
    pass.setBindGroup(
      0,
      device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: resources }),
    )
    pass.dispatchWorkgroups(Math.ceil(size.side ** 2 / 64))
    pass.end()
    encoder.copyBufferToBuffer(counts, 0, staged, 0, bytes)
    device.queue.submit([encoder.finish()])
    await staged.mapAsync(1)
    const result = new Uint32Array(staged.getMappedRange().slice(0))
    for (const buffer of [uniform, counts, staged]) buffer.destroy()
    return { counts: result }
  }
}

/** Both ways of both places; the value is speed, so that 1 means no cost. */
export async function benchB9(pairs: number): Promise<Row[]> {
  const mesh = await localMesh({ workers: 1, gpu: true })
  const hand = workerByHand()
  const byHand = { webgpu: await gpuByHand(), worker: hand.draw }
  const draw = kernel<Arguments, Outputs & Record<string, KernelArray>>({
    wgsl,
    outputs: { counts: ['size.side', 'size.side'] },
    fallback: onWorker,
  })
  const rows: Row[] = []
  try {
    while (mesh.processors.length < 2) await new Promise((resolve) => setTimeout(resolve, 20))
    for (const kind of ['webgpu', 'worker'] as const) {
      const there = mesh.with({ scope: scope.kind(kind) })
      const limit = await limitFor(byHand[kind])
      const size = { side, limit }
      const once = (run: Draw) => async (): Promise<number> => {
        const startedAt = performance.now()
        const { counts } = await run({ size })
        const ms = performance.now() - startedAt
        check('the middle of the picture', counts[(side / 2) * side + side / 2], limit)
        return 1_000 / ms
      }
      const samples = await paired(pairs, [
        { name: 'by hand', once: once(byHand[kind]) },
        { name: 'shoal', once: once(async (args) => there.spawn(draw, args)) },
      ])
      const ms = 1_000 / median(samples.get('by hand') ?? [])
      const note = `limit ${limit}, ${ms.toFixed(0)} ms by hand`
      const label = { bench: 'B9', place: 'page', metric: `mandelbrot-${kind}`, unit: '1/s', note }
      rows.push(...rowsOf(label, samples, ['by hand']))
    }
  } finally {
    hand.end()
    await mesh.close()
  }
  return rows
}

/** As many steps as make a kernel of 40 ms at least: the goal is about those over 20. */
async function limitFor(draw: Draw): Promise<number> {
  for (let limit = 64; ; limit *= 2) {
    await draw({ size: { side, limit } })
    const startedAt = performance.now()
    await draw({ size: { side, limit } })
    if (performance.now() - startedAt > 40) return limit
  }
}
