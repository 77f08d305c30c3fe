import type { FromGpu, ToGpu } from './gpu-protocol.ts'
import { createGpuRunner } from './gpu-runner.ts'

/** The part of the package `webgpu` that is used here. */
interface WebgpuPackage {
  create(options: readonly string[]): GPU
  readonly globals: object
}

// A child that outlives its parent would hold the GPU. Nothing is cleaned up: the addon may crash on its way out.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))

/** Held for as long as the process lives: the addon crashes when it is collected before its devices. */
let held: GPU | null = null

const receive = createGpuRunner({
  async openGpu() {
    const found = process.argv[2]
    if (found === undefined) return 'the package "webgpu" is not installed'
    const { create, globals } = (await import(found)) as WebgpuPackage
    Object.assign(globalThis, globals)
    held = create([])
    return held
  },
  post: (message: FromGpu) => void process.send?.(message),
})
process.on('message', (message) => receive(message as ToGpu))
