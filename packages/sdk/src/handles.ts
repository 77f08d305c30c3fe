import { ChunkHandle } from './chunk.ts'
import { TaskHandle } from './task.ts'
import type { HandleCodec, HandleRef } from './values/index.ts'

const services = new WeakMap<object, string>()

/** Lets a service's handle travel inside values, as its id. */
export function rememberService(handle: object, id: string): void {
  services.set(handle, id)
}

/**
 * How handles inside values cross: as references. A process may hold several meshes, so the mesh that
 * reads a value says what a reference becomes.
 */
export function createHandleCodec(fromRef: (ref: HandleRef) => unknown): HandleCodec {
  return {
    isHandle: (value) => value instanceof TaskHandle || value instanceof ChunkHandle || services.has(value),
    toRef(handle) {
      if (handle instanceof ChunkHandle) return handle.payload
      const service = services.get(handle)
      return service === undefined ? (handle as TaskHandle<unknown>).ref : { service }
    },
    fromRef,
  }
}
