import { referenceRoundsPerMs } from '../calibrate.ts'
import { bufferUsage, mapRead } from './gpu-usage.ts'

/** The loop that workers are measured with, as a kernel. */
const wgsl = `
@group(0) @binding(0) var<uniform> rounds: u32;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  var state = 2463534242u ^ id.x;
  var sum = 0u;
  for (var round = 0u; round < rounds; round++) {
    state ^= state << 13u;
    state ^= state >> 17u;
    state ^= state << 5u;
    if ((state & 7u) == 0u) { sum += state; }
  }
  sums[id.x] = sum;
}`

const threads = 64 * 256
const enoughMs = 8
const roundsMax = 1 << 16

/**
 * Speed of a GPU in units of the reference worker, with two digits: rounds of one loop per millisecond,
 * from handing it in to its result. Takes some 20 ms.
 */
export async function measureGpuSpeed(device: GPUDevice): Promise<number> {
  const module = device.createShaderModule({ code: wgsl })
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } })
  const { uniform, storage, copyDst, copySrc } = bufferUsage
  const count = device.createBuffer({ size: 4, usage: uniform | copyDst })
  const sums = device.createBuffer({ size: threads * 4, usage: storage | copySrc })
  const result = device.createBuffer({ size: 4, usage: bufferUsage.mapRead | copyDst })
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [
      { binding: 0, resource: { buffer: count } },
      { binding: 1, resource: { buffer: sums } },
    ],
  })
  const timed = async (rounds: number): Promise<number> => {
    const startedAt = performance.now()
    device.queue.writeBuffer(count, 0, new Uint32Array([rounds]))
    const encoder = device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    pass.setPipeline(pipeline)
    pass.setBindGroup(0, group)
    pass.dispatchWorkgroups(threads / 64)
    pass.end()
    encoder.copyBufferToBuffer(sums, 0, result, 0, 4)
    device.queue.submit([encoder.finish()])
    await result.mapAsync(mapRead)
    result.unmap()
    return performance.now() - startedAt
  }
  // The first run compiles; then the number grows until the time says something.
  await timed(1)
  let rounds = 64
  let elapsedMs = await timed(rounds)
  while (elapsedMs < enoughMs && rounds < roundsMax) {
    rounds *= 4
    elapsedMs = await timed(rounds)
  }
  for (const buffer of [count, sums, result]) buffer.destroy()
  const score = (rounds * threads) / elapsedMs / referenceRoundsPerMs
  return Math.max(0.01, Math.round(score * 100) / 100)
}
