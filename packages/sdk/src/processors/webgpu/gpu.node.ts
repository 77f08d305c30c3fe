import { fork } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { bundleEntryFile } from '../worker-source.node.ts'
import type { GpuHandle } from './gpu-protocol.ts'

/** Where the optional package `webgpu` is: beside this one, or with the program; `null` when nowhere. */
export function findWebgpuPackage(): string | null {
  const places = [import.meta.url, process.argv[1] ?? '', join(process.cwd(), 'index.js')]
  for (const place of places) {
    if (place === '') continue
    try {
      return pathToFileURL(createRequire(place).resolve('webgpu')).href
    } catch {
      // Not here.
    }
  }
  return null
}

/**
 * Starts the process that drives a GPU. A process of its own: the addon takes everything around it down when
 * it crashes, and when it is stopped in the middle of a kernel.
 * @param found the address of the package `webgpu`; `null`: there is no GPU
 */
export function startNodeGpu(found: string | null = findWebgpuPackage()): GpuHandle {
  const entry = import.meta.url.endsWith('.ts')
    ? bundleEntryFile('./webgpu/gpu-entry.node.ts')
    : fileURLToPath(new URL('./gpu-entry.node.js', import.meta.url))
  const child = fork(entry, found === null ? [] : [found], {
    serialization: 'advanced',
    execArgv: [],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  let isOver = false
  let onDeath: ((reason: string) => void) | null = null
  const end = (reason: string): void => {
    if (isOver) return
    isOver = true
    onDeath?.(reason)
  }
  child.on('error', (error) => end(error.message))
  child.on('exit', (code, signal) => end(signal === null ? `exit code ${code}` : `signal ${signal}`))
  child.unref()
  child.channel?.unref()
  return {
    // A child that is gone says so by its exit.
    post: (message) => void child.send(message, () => {}),
    onMessage(listener) {
      child.on('message', (message) => listener(message as never))
    },
    onDeath(listener) {
      onDeath = listener
    },
    terminate() {
      isOver = true
      child.kill('SIGKILL')
    },
    setBusy(isBusy) {
      if (isBusy) child.channel?.ref()
      else child.channel?.unref()
    },
  }
}
