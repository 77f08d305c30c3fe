import type { Link, Unsubscribe } from '@shoal/scheduler'
import type { ReportError } from './listeners.ts'
import { createListeners, guarded } from './listeners.ts'

/** Which addresses are known, for listeners that may come later. */
export interface Presence {
  /** Tells the listeners each time: they may have lost the link meanwhile. */
  seen(address: string): void
  gone(address: string): void
  onSeen(listener: (address: string) => void): Unsubscribe
  onGone(listener: (address: string) => void): Unsubscribe
  clear(): void
}

export function createPresence(report: ReportError): Presence {
  const seens = createListeners<[string]>(report)
  const gones = createListeners<[string]>(report)
  const present = new Set<string>()
  return {
    seen(address) {
      present.add(address)
      seens.emit(address)
    },
    gone(address) {
      if (present.delete(address)) gones.emit(address)
    },
    onSeen(listener) {
      const known = [...present]
      const off = seens.add(listener)
      let isOn = true
      queueMicrotask(() => {
        for (const address of known)
          if (isOn && present.has(address)) guarded(report, () => listener(address))
      })
      return () => {
        isOn = false
        off()
      }
    },
    onGone: (listener) => gones.add(listener),
    clear() {
      seens.clear()
      gones.clear()
      present.clear()
    },
  }
}

/** Links that others dialled: kept for the first listener. */
export interface Arrivals {
  add(link: Link): void
  onLink(listener: (link: Link) => void): Unsubscribe
  clear(): void
}

export function createArrivals(report: ReportError): Arrivals {
  const listeners = createListeners<[Link]>(report)
  const kept: Link[] = []
  const hand = (): void => {
    while (listeners.size > 0) {
      const link = kept.shift()
      if (link === undefined) return
      listeners.emit(link)
    }
  }
  return {
    add(link) {
      kept.push(link)
      hand()
    },
    onLink(listener) {
      const off = listeners.add(listener)
      queueMicrotask(hand)
      return off
    },
    clear() {
      listeners.clear()
      kept.length = 0
    },
  }
}
