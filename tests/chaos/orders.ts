import type { ChaosFaults } from '@shoal/mesh/testing'

/** What a peer of the run is started with. */
export interface PeerConfig {
  readonly invite: string
  readonly name: string
  readonly workers: number
  /** A folder, or `undefined` for the platform's own choice. */
  readonly storage?: string
  /** Where bodies say that they begin. */
  readonly startsUrl: string
}

export type SubmitKind = 'work' | 'hang' | 'bomb' | 'poison'

/** What a peer of the run can be told. */
export type Order =
  | {
      readonly type: 'submit'
      readonly kind: SubmitKind
      readonly label: string
      readonly count: number
      readonly ms: number
      /** Run on these peers only. */
      readonly peers?: readonly string[]
    }
  | { readonly type: 'faults'; readonly faults: Partial<ChaosFaults> }
  | { readonly type: 'partition'; readonly addresses: readonly string[] }
  | { readonly type: 'heal' }
  /** Tells all outcomes that it knows, for the last time. */
  | { readonly type: 'read' }
  /** Tells what it knows of a job that does not end. */
  | { readonly type: 'explain'; readonly job: string }
  /** The thread that runs the scheduler does something else. */
  | { readonly type: 'spin'; readonly ms: number }
  | { readonly type: 'leave' }

/** `again`: asked some seconds after the job's end. `last`: when it should be final, for readers in touch with all. */
export type Reading = 'first' | 'again' | 'last'

/** What a peer of the run tells. All with `at`: the machine's clock, in milliseconds. */
export type PeerEvent = { readonly at: number } & (
  | {
      readonly type: 'joined'
      readonly peer: string
      readonly epoch: number
      readonly address: string
      readonly durability: string
    }
  | { readonly type: 'seen'; readonly peer: string; readonly epoch: number }
  | { readonly type: 'suspected'; readonly peer: string }
  | { readonly type: 'gone'; readonly peer: string; readonly cause: string }
  | {
      readonly type: 'submitted' | 'accepted'
      readonly label: string
      readonly job: string
      readonly count: number
    }
  | { readonly type: 'owner'; readonly job: string; readonly owner: string; readonly epoch: number }
  | {
      readonly type: 'outcome'
      readonly job: string
      readonly index: number
      /** The execution's value, or the code of the failure. */
      readonly value: readonly [number, string] | string
      readonly reading: Reading
    }
  | { readonly type: 'ended'; readonly job: string; readonly total: number }
  | { readonly type: 'explained'; readonly text: string }
  | { readonly type: 'left'; readonly ms: number }
  | { readonly type: 'error'; readonly message: string }
)

type EventBody<E> = E extends PeerEvent ? Omit<E, 'at'> : never
/** An event before its time is put on it. */
export type Untimed = EventBody<PeerEvent>
