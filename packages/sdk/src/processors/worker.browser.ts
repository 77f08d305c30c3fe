import type { WorkerHandle } from './worker-handle.ts'

/** Starts one module worker of the page. */
export function startBrowserWorker(): WorkerHandle {
  // Bundlers look for exactly this form; from sources they find the .ts file behind the name.
  const worker = new Worker(new URL('./worker-entry.browser.js', import.meta.url), { type: 'module' })
  let isOver = false
  let hasSpoken = false
  let listener: ((reason: string) => void) | null = null
  const end = (reason: string): void => {
    if (isOver) return
    isOver = true
    worker.terminate()
    listener?.(reason)
  }
  worker.addEventListener('message', () => {
    hasSpoken = true
  })
  // Before its first message an error means that it could not load; later, that a body left one behind.
  worker.addEventListener('error', (event) => {
    if (!hasSpoken) end(event.message || 'its script could not be loaded')
  })
  worker.addEventListener('messageerror', () => end('a message could not be read'))
  return {
    endpoint: worker,
    onDeath(next) {
      listener = next
    },
    terminate() {
      isOver = true
      worker.terminate()
    },
    setBusy() {},
  }
}
