import type { OperationHash } from './ids.ts'

/** A function that any peer can run: a self-contained ES module, addressed by its content. */
export interface OperationRecord {
  readonly hash: OperationHash
  /** Shown to people; not part of the identity. */
  readonly name: string
  /** The text of the module: it imports nothing. */
  readonly source: string
  readonly exportName: string
}
