import type { FromGpu, ToGpu } from './gpu-protocol.ts'
import { createGpuRunner } from './gpu-runner.ts'

const port = globalThis as unknown as {
  postMessage(message: FromGpu, transfers: ArrayBuffer[]): void
  onmessage: ((event: MessageEvent<ToGpu>) => void) | null
}

const receive = createGpuRunner({
  // Absent on pages that are no secure context, whatever the types say.
  openGpu: async () => (navigator.gpu as GPU | undefined) ?? 'a browser or page without WebGPU',
  post: (message, transfers) => port.postMessage(message, transfers),
})
port.onmessage = ({ data }) => receive(data)
