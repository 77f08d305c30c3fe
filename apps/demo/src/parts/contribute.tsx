import type { VNode } from 'preact'
import type { PageState } from '../page-state.ts'
import type { Session } from '../session.ts'
import { count } from '../words.ts'

/** Consent: the switch, how much, what runs, how to stop. Nothing runs before the switch is on. */
export function Contribute({
  state,
  session,
}: {
  readonly state: PageState
  readonly session: Session
}): VNode {
  const { isContributing, workers, workersMax } = state
  return (
    <section
      class={isContributing ? 'card contribute on' : 'card contribute'}
      aria-labelledby="contribute-title"
    >
      <div class="row">
        <button
          type="button"
          role="switch"
          class="switch"
          aria-checked={isContributing}
          aria-labelledby="contribute-title"
          aria-describedby="contribute-state"
          aria-busy={state.isSwitching}
          onClick={() => void session.setContributing(!isContributing)}
        >
          <span class="knob" />
        </button>
        <div>
          <h2 id="contribute-title">Contribute</h2>
          <p id="contribute-state" class="quiet">
            {stateText(state)}
          </p>
        </div>
      </div>
      <div class="workers">
        <label for="workers">Workers</label>
        <input
          id="workers"
          type="range"
          min={1}
          max={workersMax}
          step={1}
          value={workers}
          aria-valuetext={`${workers} of ${workersMax}`}
          onChange={(event) => void session.setWorkers(Number(event.currentTarget.value))}
        />
        <output for="workers">
          {workers} of {workersMax}
        </output>
      </div>
      <details class="consent">
        <summary>What runs here, and how do I stop it?</summary>
        <p>
          Functions that the members of this room send, in up to {count(workers, 'background worker')} of this
          page, and computations on its GPU where there is one. They cannot see your files, your other tabs or
          what you type; they can use your processors and your network. Lend only to a room whose people you
          trust. Pages of members also take turns in keeping the room's services, such as the gallery, whether
          they lend or not.
        </p>
        <p>
          To stop: press the switch again, press Leave, or close this tab. It stops at once; others redo what
          was not finished. Nothing stays installed.
        </p>
      </details>
    </section>
  )
}

function stateText({ isContributing, isSwitching, lent, isGpuLent }: PageState): string {
  if (isSwitching) return isContributing ? 'Stopping …' : 'Starting …'
  if (!isContributing) return 'Off: this device computes nothing for others.'
  if (lent === 0) return 'On, but no worker could start here yet.'
  return `On: this device lends ${count(lent, 'worker')}${isGpuLent ? ' and its GPU' : ''}.`
}
