import type { TaskRef } from '@shoal/scheduler'
import { TaskHandle } from './task.ts'
import type { HandleCodec } from './values/index.ts'

/**
 * How handles inside values cross: as references. A process may hold several meshes, so the mesh that
 * reads a value says what a reference becomes.
 */
export function createHandleCodec(fromRef: (ref: TaskRef) => unknown): HandleCodec {
  return {
    isHandle: (value) => value instanceof TaskHandle,
    toRef: (handle) => (handle as TaskHandle<unknown>).ref,
    fromRef,
  }
}
