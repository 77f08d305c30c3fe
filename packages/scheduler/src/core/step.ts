import type { Effect } from './effects.ts'
import type { Event } from './events.ts'
import { stepLone } from './lone.ts'
import { noteTime, stepFully } from './long-way.ts'
import { stepLoneCalls } from './services/lone.ts'
import type { SchedulerState } from './state.ts'

/**
 * The only door into the scheduler: takes one event, changes the state, and gives what the shell has
 * to do, in order. No clock, no random numbers, no platform: the same events give the same effects.
 */
export function step(state: SchedulerState, event: Event): Effect[] {
  noteTime(state, event.at)
  return stepLone(state, event) ?? stepLoneCalls(state, event) ?? stepFully(state, event)
}
