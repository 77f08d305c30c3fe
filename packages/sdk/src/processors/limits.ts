/** Calls in one message to a worker: bounds how much a dying worker can leave in doubt. */
export const callsPerFrameMax = 256
/** Results in one message from a worker: the next calls are on their way while it runs the rest. */
export const resultsPerFrameMax = 128
/** A worker without work for this long keeps its process alive no longer. */
export const idleAfterMs = 20
/** A slice that runs this long gives back those of its items that have not started. */
export const sliceMaxMs = 20
/** A worker tells its results, and looks at its messages, at least this often between two bodies. */
export const flushAfterMs = 5
/** How long a body that was asked to stop may take before its worker is replaced. */
export const abortGraceMs = 50
/** Bytes from which a result's buffer is handed over instead of copied. */
export const transferBytesMin: number = 16 * 1024
/** So many crashes within {@link crashWindowMs} take a processor away for a while. */
export const crashesMax = 3
export const crashWindowMs = 5_000
/** First pause of a processor that was taken away; doubled each time. */
export const crashPauseMs = 1_000
export const crashPauseMaxMs = 60_000
/** How long a new processor must be idle before its speed is measured. */
export const calibrateAfterMs = 1_000
/** Most workers of one peer: each costs a thread and some 10 MiB. */
export const workersMax = 256
/** Most services that one peer hosts: each has a worker of its own. */
export const servicesMax = 64
/** How long an instance may take until it can be called: its code's way here, its constructor, its state. */
export const serviceOpenMs = 30_000
/** Workers that wait, with its code loaded, for a service that this peer follows to need them: the last so many. */
export const serviceSparesMax = 2
/** Packed arguments of a service's constructor, in bytes: they lie in its creator's lane. */
export const serviceArgsBytesMax: number = 64 * 1024
/** Packed arguments or answer of one call, or state of one service, in bytes: they travel as one message. */
export const serviceValueBytesMax: number = 32 * 1024 * 1024
/** How long what a body put is kept after its end, for those to whom it gave a handle. */
export const putKeptMs = 60_000
/** Calls handed to a GPU: one that runs, one whose data is on its way. */
export const gpuCallsMax = 2
/** Longest run of a kernel without a `timeoutMs`: nothing else can stop one that never ends. */
export const kernelMsMax = 30_000
/** How long a GPU may take to open and to be measured; longer, something else holds it. */
export const gpuStartMs = 15_000
/** First pause of a GPU that was lost, or that a kernel held for too long; doubled each time. */
export const gpuPauseMs = 2_000
export const gpuPauseMaxMs = 60_000
/** A packed value of more bytes travels apart from those of its slice: the peer may make a chunk of it. */
export const valueBytesMax: number = 16 * 1024
/** A slice gives the rest of its items back when its packed values have so many bytes: a link must not be held up. */
export const slicePackedBytesMax: number = 32 * 1024
