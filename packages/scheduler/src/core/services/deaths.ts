import { type ErrorRecord, errorRecord } from '../../model/errors.ts'
import type { JournalEntry } from '../../model/service.ts'
import type { StepContext } from '../context.ts'
import { appendSnapshot } from './copies.ts'
import { endCall, openInstance, replyAtOnce, takeSnapshot } from './host.ts'
import { armTick, touch } from './say.ts'
import type { Hosted, ServiceState } from './state.ts'

/** Instances that may die in a row before the service is given up. */
const deathsMax = 3
/** An instance that had nothing to do for this long worked well. */
const wellAfterMs = 5000

/**
 * The worker is gone. The call that it ran fails and is never run again, unless it ran well before; the others are run
 * again on the state that is left. Without durability all of them fail.
 * @returns `false`: too many died in a row, nothing is run any more
 */
export function onDied(ctx: StepContext, service: ServiceState, hosted: Hosted, cause: ErrorRecord): boolean {
  const { now, services } = ctx.state
  hosted.snapshotAt = null
  const running = hosted.running.peek()
  const guilty = running !== undefined && isAnswered(hosted, running) ? undefined : running
  const wasWell = hosted.isOpen && running === undefined && now - hosted.quietSince >= wellAfterMs
  // Without the guilty call the next instance gets further.
  hosted.deaths = guilty !== undefined || wasWell ? 1 : hosted.deaths + 1
  if (hosted.deaths > deathsMax && hosted.isActing) {
    hosted.isOpen = false
    return false
  }
  services.byInstance.delete(hosted.instance)
  if (hosted.spec.durability === 'none') failAll(ctx, hosted, cause)
  else rewind(hosted, guilty)
  openInstance(ctx, service, hosted)
  touch(ctx, service)
  armTick(ctx.state, service, now)
  return true
}

function failAll(ctx: StepContext, hosted: Hosted, cause: ErrorRecord): void {
  const error = errorRecord('E_SERVICE_RESTARTED', 'Cannot tell how the call ended as the worker died', cause)
  for (const entry of [...hosted.running, ...hosted.queue])
    endCall(ctx, hosted, entry, { status: 'failed', error })
  hosted.running.filter(() => false)
  hosted.queue = []
}

function rewind(hosted: Hosted, guilty: JournalEntry | undefined): void {
  const { snapshot } = hosted
  const settled = Math.max(snapshot.seq, hosted.released)
  hosted.running.filter(() => false)
  hosted.outbox = hosted.outbox.filter(({ seq }) => seq <= settled)
  for (const session of hosted.sessions.values()) {
    session.replies = session.replies.filter(({ seq }) => seq <= settled)
  }
  if (guilty !== undefined) {
    const skipped = { ...guilty, method: '' }
    hosted.entries = hosted.entries.map((entry) => (entry.seq === guilty.seq ? skipped : entry))
    // Copies have the call as it was.
    hosted.kept.clear()
  }
  hosted.ran = snapshot.seq
  hosted.queue = [...hosted.entries]
}

/**
 * The state cannot be packed, so nobody can follow with it: what these calls did is undone, and they fail.
 */
export function undo(ctx: StepContext, service: ServiceState, hosted: Hosted, error: ErrorRecord): void {
  const { services } = ctx.state
  const given = [...hosted.running]
  ctx.emit({ type: 'close-service', instance: hosted.instance })
  services.byInstance.delete(hosted.instance)
  hosted.running.filter(() => false)
  hosted.snapshotAt = null
  const undone = hosted.outbox.filter(({ seq }) => seq > hosted.snapshot.seq)
  hosted.outbox = hosted.outbox.filter(({ seq }) => seq <= hosted.snapshot.seq)
  for (const session of hosted.sessions.values()) {
    session.replies = session.replies.filter(({ seq }) => seq <= hosted.snapshot.seq)
  }
  for (const { caller, reply } of undone) {
    replyAtOnce(ctx, service, hosted, caller, { no: reply.no, outcome: { status: 'failed', error } })
  }
  hosted.queue = [...given, ...hosted.queue]
  hosted.entries = [...hosted.queue]
  hosted.ran = (hosted.queue[0]?.seq ?? hosted.seq + 1) - 1
  // The state is the same as if they had run: copies need not wait for another one.
  takeSnapshot(hosted, hosted.ran, hosted.snapshot.state, ctx.state.now)
  appendSnapshot(ctx, service, hosted)
  openInstance(ctx, service, hosted)
}

/** Whether the reply has left, here or at the host before: then what the call did must stay. */
function isAnswered({ released, inherited }: Hosted, { seq }: JournalEntry): boolean {
  return seq <= Math.max(released, inherited)
}
