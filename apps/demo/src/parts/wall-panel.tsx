import type { VNode } from 'preact'
import { useState } from 'preact/hooks'
import { imageHeight, imageWidth, type View, wholeView, zoomed } from '../fractal.ts'
import type { PageState } from '../page-state.ts'
import { type PaletteName, palettes } from '../palette.ts'
import type { Session } from '../session.ts'
import { viewFor } from '../view-commands.ts'
import type { PictureState } from '../wall.ts'
import { count } from '../words.ts'
import { WallCanvas } from './wall-canvas.tsx'

const details = [
  { iterations: 500, label: 'Quick' },
  { iterations: 2_000, label: 'Fine' },
  { iterations: 12_000, label: 'Very fine (slow)' },
] as const

const keys: Readonly<Record<string, string>> = {
  '+': 'in',
  '=': 'in',
  '-': 'out',
  '0': 'whole',
  ArrowLeft: 'left',
  ArrowRight: 'right',
  ArrowUp: 'up',
  ArrowDown: 'down',
}

/** The job of this page, "Light up the wall": one picture for the whole room. */
export function WallPanel({
  state,
  session,
}: {
  readonly state: PageState
  readonly session: Session
}): VNode {
  const [palette, setPalette] = useState<PaletteName>('dusk')
  const [hasBorders, setHasBorders] = useState(true)
  const [iterations, setIterations] = useState(wholeView.iterations)
  if (state.role === 'contributor') return <LendsOnly />
  const view: View = { ...(state.view ?? wholeView), iterations }
  const go = (command: string): void => {
    const next = viewFor(command, view)
    if (next !== null) session.start(next)
  }
  return (
    <section class="card wall-panel" aria-labelledby="wall-title">
      <h2 id="wall-title">Light up the wall</h2>
      <div
        class="wall"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the picture takes keys, like a map
        tabIndex={0}
        role="application"
        aria-label="Picture: zooms with plus and minus, moves with the arrow keys"
        onKeyDown={(event) => {
          const command = keys[event.key]
          if (command === undefined || event.ctrlKey || event.metaKey || event.altKey) return
          event.preventDefault()
          go(command)
        }}
        onClick={(event) => {
          if (state.picture === null) return
          const box = event.currentTarget.getBoundingClientRect()
          const atX = (event.clientX - box.left) / box.width
          const atY = (event.clientY - box.top) / box.height
          session.start(zoomed(view, 0.5, atX, atY))
        }}
      >
        <WallCanvas session={session} palette={palette} hasBorders={hasBorders} label={pictureLabel(state)} />
        {state.picture === null && (
          <p class="empty">Nothing on the wall yet. Press Start, or wait for somebody else to do so.</p>
        )}
      </div>
      <Progress state={state} />
      <div class="controls">
        <button type="button" class="main" onClick={() => session.start(view)}>
          {state.picture === null ? 'Start' : 'Start again'}
        </button>
        <button type="button" disabled={state.picture?.state !== 'running'} onClick={() => session.stop()}>
          Stop
        </button>
        <button type="button" onClick={() => go('in')}>
          Zoom in
        </button>
        <button type="button" onClick={() => go('out')}>
          Zoom out
        </button>
        <button type="button" onClick={() => go('whole')}>
          Whole
        </button>
      </div>
      <div class="controls">
        <label>
          Detail{' '}
          <select value={iterations} onChange={(event) => setIterations(Number(event.currentTarget.value))}>
            {details.map((detail) => (
              <option key={detail.iterations} value={detail.iterations}>
                {detail.label}
              </option>
            ))}
          </select>
        </label>
        <label>
          Colours{' '}
          <select value={palette} onChange={(event) => setPalette(event.currentTarget.value as PaletteName)}>
            {Object.entries(palettes).map(([name, { label }]) => (
              <option key={name} value={name}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={hasBorders}
            onChange={(event) => setHasBorders(event.currentTarget.checked)}
          />
          Show who drew what
        </label>
      </div>
      <p class="quiet">
        Click or tap the picture to zoom in there. Everybody in the room sees the same picture, and a new one
        replaces the old.
      </p>
    </section>
  )
}

function Progress({ state }: { readonly state: PageState }): VNode {
  const { picture } = state
  const total = picture?.total || (imageWidth * imageHeight) / 64 ** 2
  const nobodyLends = state.health !== null && state.health.processors === 0
  return (
    <div class="progress" data-picture={picture?.no ?? 0} data-state={picture?.state ?? 'none'}>
      <progress aria-labelledby="progress-text" max={total} value={picture?.drawn ?? 0} />
      <p id="progress-text">{progressText(state)}</p>
      {picture !== null && (
        <p class="quiet" data-job={picture.job} data-epoch={picture.epoch}>
          {ownerText(state)}
        </p>
      )}
      {picture !== null && picture.drawn > 0 && (
        <p class="quiet" data-by-gpu={picture.byGpu}>
          {makersText(picture)}
        </p>
      )}
      {nobodyLends && picture?.state !== 'complete' && (
        <p class="hint">No device lends a worker: press Contribute here or on another device.</p>
      )}
    </div>
  )
}

function progressText({ picture, tilesPerSecond }: PageState): string {
  if (picture === null) return 'No picture yet'
  if (picture.total === 0) return `Picture ${picture.no} begins`
  const failed = picture.failed > 0 ? `, ${picture.failed} failed` : ''
  const tiles = `${picture.drawn} of ${count(picture.total, 'tile')}${failed}`
  if (picture.state === 'complete') return `Picture ${picture.no} is complete: ${tiles}`
  if (picture.state === 'stopped') return `Picture ${picture.no} was stopped: ${tiles}`
  return `Picture ${picture.no}: ${tiles}, ${tilesPerSecond.toFixed(1)} per second`
}

function makersText({ drawn, byGpu }: PictureState): string {
  return `Drawn by workers (solid border): ${drawn - byGpu}. By GPUs (dashed border): ${byGpu}.`
}

function ownerText({ picture, ownerName }: PageState): string {
  if (picture === null) return ''
  const owner = picture.isMine ? 'this page' : ownerName
  const takenOver = picture.epoch > 1 ? ', taken over from a peer that is gone' : ''
  return `Owner: ${owner}, epoch ${picture.epoch}${takenOver}`
}

function pictureLabel({ picture, view }: PageState): string {
  if (picture === null || view === null) return 'Empty wall'
  const place = `centre ${view.x.toPrecision(6)} and ${view.y.toPrecision(6)} i, width ${view.span.toPrecision(3)}`
  const byGpu = picture.byGpu > 0 ? `, ${picture.byGpu} by GPUs` : ''
  return `Mandelbrot set, ${place}: ${picture.drawn} of ${picture.total} tiles drawn${byGpu}`
}

function LendsOnly(): VNode {
  return (
    <section class="card" aria-labelledby="lends-title">
      <h2 id="lends-title">You are here to lend</h2>
      <p>
        Your invite is for lending. Press <strong>Contribute</strong> and this device computes what the
        members of the room send. The pictures appear on their pages.
      </p>
      <p class="quiet">To start pictures yourself, ask for a member link.</p>
    </section>
  )
}
