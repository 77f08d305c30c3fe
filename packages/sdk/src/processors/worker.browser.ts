import type { WorkerHandle } from './worker-handle.ts'

const unloaded = 'its script could not be loaded'
let isWatching = false
let blockedBy: string | null = null

/** A worker that a policy blocks fails without a word: the page is told apart from it. */
function watchPolicy(): void {
  if (isWatching || typeof document === 'undefined') return
  isWatching = true
  document.addEventListener('securitypolicyviolation', ({ effectiveDirective, disposition }) => {
    if (effectiveDirective === 'worker-src' && disposition === 'enforce') blockedBy = effectiveDirective
  })
}

function reasonUnloaded(): string {
  if (blockedBy === null) return unloaded
  return `${unloaded}, the Content-Security-Policy of the page blocks it: see ${blockedBy}`
}

/** Starts one module worker of the page. */
export function startBrowserWorker(): WorkerHandle {
  watchPolicy()
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
    if (!hasSpoken) end(event.message || reasonUnloaded())
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
