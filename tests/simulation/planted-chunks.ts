import type { ChunkId, Message, Network, PeerId, RuntimeOptions } from '@shoal/scheduler'
import type { ChunkWorldKind, SimMutation } from '@shoal/scheduler/testing'

/** A bug that a scheduler could have with chunks, planted from outside. */
export interface PlantedChunkBug {
  readonly name: string
  readonly kind: ChunkWorldKind
  readonly mutate: SimMutation
}

function withNetwork(options: RuntimeOptions, wrap: (network: Network) => Network): RuntimeOptions {
  return options.network === null ? options : { ...options, network: wrap(options.network) }
}

/** Changes or drops (`null`) what a peer hears. */
function hearing(change: (message: Message, from: PeerId) => Message | null): SimMutation {
  return (options) =>
    withNetwork(options, (network) => ({
      ...network,
      onMessage: (listener) =>
        network.onMessage((from, message) => {
          const changed = change(message, from)
          if (changed !== null) listener(from, changed)
        }),
    }))
}

/** Wraps the core's door. */
function stepping(wrap: (step: NonNullable<RuntimeOptions['step']>) => RuntimeOptions['step']): SimMutation {
  return (options) => {
    const { step } = options
    const wrapped = step === undefined ? undefined : wrap(step)
    return wrapped === undefined ? options : { ...options, step: wrapped }
  }
}

/** A peer that is gone still counts as a holder. */
const noPurge: SimMutation = stepping((step) => (state, event) => {
  if (event.type !== 'peer-left') return step(state, event)
  const held = [...state.chunks.values()].filter(({ holders }) => holders.has(event.peer))
  const effects = step(state, event)
  for (const chunk of held)
    if (state.chunks.has(chunk.payload.ref.id)) chunk.holders.set(event.peer, state.now)
  return effects
})

/** A task lets go of its chunks when it is given away. */
const earlyRelease: SimMutation = stepping((step) => (state, event) => {
  const effects = step(state, event)
  for (const chunk of state.chunks.values())
    for (const task of [...chunk.neededBy]) if (task.status === 'assigned') chunk.neededBy.delete(task)
  return effects
})

/** What is made again is placed before what it needs is there. */
const forgottenInput: SimMutation = stepping((step) => (state, event) => {
  const effects = step(state, event)
  for (const job of state.jobs.values())
    for (const again of job.remakes.values()) if (again.status === 'waiting') again.inputs = null
  return effects
})

/** Holders and the tracker never let copies go as one of two `free` counts for both. */
const countedTwice: SimMutation = (options, peer, rng) => {
  const freed = new Set<ChunkId>()
  return hearing((message) => {
    if (message.type !== 'free') return message
    const chunks = message.chunks.filter((id) => freed.has(id))
    for (const id of message.chunks) freed.add(id)
    return { ...message, chunks }
  })(options, peer, rng)
}

/** A handle that another peer has is not noted: the chunk goes with the last handle here. */
const notAcknowledged: SimMutation = hearing((message) =>
  message.type === 'want' && message.wish === 'keep' ? null : message,
)

/** Each must be found within 500 seeds. */
export const plantedChunkBugs: readonly PlantedChunkBug[] = [
  { name: 'a handle that was handed on is not acknowledged', kind: 'calm', mutate: notAcknowledged },
  { name: 'what a lost peer held is not purged', kind: 'deaths', mutate: noPurge },
  { name: 'a chunk is released before its last consumer', kind: 'deaths', mutate: earlyRelease },
  { name: 'a second run forgets an input', kind: 'deaths', mutate: forgottenInput },
  { name: 'a holder is counted twice, and freed once', kind: 'calm', mutate: countedTwice },
]
