import type { FromGpu, GpuHandle, ToGpu } from './gpu-protocol.ts'

/** Starts the worker that drives the GPU of the page, if there is a GPU: most scripts that are not needed cost. */
export function startBrowserGpu(): GpuHandle {
  const early: ToGpu[] = []
  let worker: Worker | null = null
  let isOver = false
  let onMessage: (message: FromGpu) => void = () => {}
  let onDeath: (reason: string) => void = () => {}
  const end = (reason: string): void => {
    if (isOver) return
    isOver = true
    worker?.terminate()
    onDeath(reason)
  }
  const start = (): void => {
    // Bundlers look for exactly this form; from sources they find the .ts file behind the name.
    worker = new Worker(new URL('./gpu-entry.browser.js', import.meta.url), { type: 'module' })
    worker.addEventListener('error', (event) => end(event.message || 'its script could not be loaded'))
    worker.addEventListener('messageerror', () => end('a message could not be read'))
    worker.addEventListener('message', ({ data }) => onMessage(data))
    for (const message of early) worker.postMessage(message)
  }
  const open = async (): Promise<void> => {
    try {
      const hasGpu = (await navigator.gpu.requestAdapter()) !== null
      if (isOver) return
      if (hasGpu) start()
      else onMessage({ type: 'absent', reason: 'the browser offers no adapter' })
    } catch (error) {
      end(error instanceof Error ? error.message : String(error))
    }
  }
  void open()
  return {
    post(message) {
      if (worker === null) early.push(message)
      else worker.postMessage(message)
    },
    onMessage(listener) {
      onMessage = listener
    },
    onDeath(listener) {
      onDeath = listener
    },
    terminate() {
      isOver = true
      worker?.terminate()
    },
    setBusy() {},
  }
}
