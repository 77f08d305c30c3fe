import type { ChunkPayload, TaskRef } from '@shoal/scheduler'

/** What a handle of a service travels as. */
export interface ServiceRef {
  readonly service: string
}

/** What a handle travels as. */
export type HandleRef = TaskRef | ServiceRef | ChunkPayload

/** How handles that lie inside values cross to other places: as their references. */
export interface HandleCodec {
  isHandle(value: object): boolean
  /** @throws ShoalError `E_NOT_SERIALIZABLE` when this handle cannot be shared */
  toRef(handle: object): HandleRef
  fromRef(ref: HandleRef): unknown
}

let registered: HandleCodec | null = null

/**
 * Sets the codec that {@link packValue} and {@link unpackValue} use when they are given none.
 * The result takes it away again.
 */
export function registerHandleCodec(codec: HandleCodec): () => void {
  registered = codec
  return () => {
    if (registered === codec) registered = null
  }
}

/** The registered codec; without one, handles are ordinary objects and references stay references. */
export function handleCodec(): HandleCodec | null {
  return registered
}
