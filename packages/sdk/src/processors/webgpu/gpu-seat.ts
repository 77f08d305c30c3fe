import type { Clock } from '@shoal/scheduler'
import { gpuPauseMaxMs, gpuPauseMs, gpuStartMs } from '../limits.ts'
import type { ResultForm } from '../protocol.ts'
import type { FromGpu, GpuHandle, ToGpu } from './gpu-protocol.ts'

export interface GpuSeatOptions {
  readonly clock: Clock
  readonly resultForm: ResultForm
  readonly startGpu: () => GpuHandle
  readonly onEnded: (ended: Extract<FromGpu, { readonly type: 'ended' }>) => void
  /** The GPU is gone with all that it was given. */
  readonly onLost: () => void
  /** The GPU came, went, or turned out to be absent. */
  readonly onChange: () => void
}

/** One GPU: its thread or process, its successor after a loss, or a pause in between. */
export interface GpuSeat {
  /** Speed in units of the reference worker; `null`: no GPU at present. */
  readonly score: number | null
  /** Why there is none, and none is to be expected. */
  readonly absence: string | null
  open(): void
  /** Ends it without a pause; `open` may follow. */
  end(): void
  post(message: ToGpu): void
  setBusy(isBusy: boolean): void
  /** It ended a kernel well: what was before is forgiven. */
  proved(): void
  /** Takes it away for a while: it is started anew after that, and has to be measured first. */
  pause(): void
}

/** Keeps one GPU staffed. No GPU is a normal state, and so is one that was lost. */
export function createGpuSeat(options: GpuSeatOptions): GpuSeat {
  const { clock } = options
  let handle: GpuHandle | null = null
  let score: number | null = null
  let absence: string | null = null
  let hasWorked = false
  let pauseMs = gpuPauseMs
  let cancelTimer = (): void => {}

  const end = (): void => {
    cancelTimer()
    handle?.terminate()
    handle = null
    score = null
  }

  const lose = (reason: string): void => {
    if (hasWorked) {
      seat.pause()
      options.onLost()
      return
    }
    end()
    absence = reason
    options.onChange()
  }

  const receive = (message: FromGpu): void => {
    switch (message.type) {
      case 'ready':
        cancelTimer()
        hasWorked = true
        score = message.score
        options.onChange()
        break
      case 'ended':
        options.onEnded(message)
        break
      case 'absent':
      case 'lost':
        lose(message.reason)
        break
    }
  }

  const seat: GpuSeat = {
    get score() {
      return score
    },
    get absence() {
      return absence
    },
    open() {
      if (handle !== null) return
      end()
      absence = null
      try {
        const started = options.startGpu()
        handle = started
        started.onMessage((message) => {
          if (handle === started) receive(message)
        })
        started.onDeath((reason) => {
          if (handle === started) lose(reason)
        })
        started.post({ type: 'start', resultForm: options.resultForm })
      } catch (error) {
        lose(error instanceof Error ? error.message : String(error))
        return
      }
      cancelTimer = clock.setTimer(clock.now() + gpuStartMs, () => lose(`no answer in ${gpuStartMs} ms`))
    },
    end,
    post: (message) => handle?.post(message),
    setBusy: (isBusy) => handle?.setBusy(isBusy),
    proved() {
      pauseMs = gpuPauseMs
    },
    pause() {
      end()
      cancelTimer = clock.setTimer(clock.now() + pauseMs, () => seat.open())
      pauseMs = Math.min(pauseMs * 2, gpuPauseMaxMs)
      options.onChange()
    },
  }
  return seat
}
