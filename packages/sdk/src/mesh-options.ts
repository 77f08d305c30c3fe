import { ShoalError } from '@shoal/scheduler'
import { checkTaskOptions } from './options.ts'
import type { Platform } from './platform.ts'
import type { MeshOptions } from './types.ts'

/** More workers than this help no machine and hurt the room. */
export const workersMax = 256
const nameLengthMax = 100
const known = new Set(['name', 'workers', 'gpu', 'defaults', 'storage', 'listen', 'signal', 'wrapTransport'])

/** @throws ShoalError `E_OPTION` */
export function refuse(name: string, desired: string, actual: unknown): never {
  throw new ShoalError(
    'E_OPTION',
    `Cannot open a mesh as option "${name}" must be ${desired}: current value is ${String(actual)}`,
    { data: { option: name } },
  )
}

/**
 * Checks the options of a mesh.
 * @throws ShoalError `E_OPTION` for an unknown name or a bad value
 */
export function checkMeshOptions(options: MeshOptions): void {
  for (const name of Object.keys(options)) {
    if (!known.has(name)) refuse(name, `one of ${[...known].join(', ')}`, 'not known')
  }
  const { name, workers, gpu, defaults, storage, listen, signal, wrapTransport } = options
  if (name !== undefined && (typeof name !== 'string' || name.trim() === '' || name.length > nameLengthMax))
    refuse('name', `a text of 1 to ${nameLengthMax} characters`, name)
  if (workers !== undefined) checkWorkers(workers)
  if (gpu !== undefined && typeof gpu !== 'boolean' && gpu !== 'auto')
    refuse('gpu', "true, false or 'auto'", gpu)
  if (defaults !== undefined) checkTaskOptions(defaults)
  if (storage !== undefined && (typeof storage !== 'string' || storage === ''))
    refuse('storage', "'auto', 'memory', 'idb' or a folder", storage)
  if (listen !== undefined && (typeof listen !== 'string' || listen === ''))
    refuse('listen', "'auto', 'none' or an IP address", listen)
  if (signal !== undefined && typeof signal?.addEventListener !== 'function')
    refuse('signal', 'an AbortSignal', signal)
  if (wrapTransport !== undefined && typeof wrapTransport !== 'function')
    refuse('wrapTransport', 'a function', wrapTransport)
}

/** @throws ShoalError `E_OPTION` when it is not a whole number from 0 to {@link workersMax} */
export function checkWorkers(workers: number): void {
  if (!Number.isSafeInteger(workers) || workers < 0 || workers > workersMax)
    refuse('workers', `a whole number from 0 to ${workersMax}`, workers)
}

/** How many workers to lend: one processor stays free for the peer itself. */
export function workersOf({ workers }: MeshOptions, { cores }: Platform): number {
  return workers ?? Math.min(workersMax, Math.max(1, cores - 1))
}
