/**
 * Holds the bodies of tasks of this process until the test lets them go: bodies run in other threads,
 * so they say that they have started, and hear when they may end, over a broadcast channel.
 */
export interface Gate {
  /** What a body is given: the name of the channel. */
  readonly name: string
  /** Bodies that have started so far, in order of their labels' arrival. */
  readonly started: readonly string[]
  /** Resolves once `count` bodies have started. */
  whenStarted(count: number): Promise<void>
  /** Lets all bodies go, those that start later as well. */
  open(): void
  close(): void
}

let gatesMade = 0

/** Makes a gate that is shut. */
export function createGate(): Gate {
  const name = `gate-${process.pid}-${++gatesMade}`
  const channel = new BroadcastChannel(name)
  const started: string[] = []
  let waiting: (() => void)[] = []
  let isOpen = false
  channel.onmessage = (event) => {
    started.push(String((event as MessageEvent).data))
    if (isOpen) channel.postMessage('open')
    const woken = waiting
    waiting = []
    for (const wake of woken) wake()
  }
  return {
    name,
    started,
    async whenStarted(count) {
      while (started.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
    },
    open() {
      isOpen = true
      channel.postMessage('open')
    },
    close: () => channel.close(),
  }
}

/** A body that gives `value` once its gate opens. */
export async function held<T>(gate: string, value: T): Promise<T> {
  const channel = new BroadcastChannel(gate)
  try {
    await new Promise<void>((resolve) => {
      channel.onmessage = (event) => {
        if ((event as MessageEvent).data === 'open') resolve()
      }
      channel.postMessage(String(value))
    })
    return value
  } finally {
    channel.close()
  }
}

/** A body that never looks up: it blocks its worker until the worker is stopped. */
export function stuck(gate: string): never {
  const channel = new BroadcastChannel(gate)
  channel.postMessage('stuck')
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000)
}
