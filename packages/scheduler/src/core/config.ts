/** Every number that the core decides with, with its unit and reason. */
export interface SchedulerConfig {
  /** A successor waits this long for answers before it reassigns; facts: 0.3 s saves most re-runs. */
  readonly adoptGraceMs: number
  /** The n-th candidate for an orphaned job claims it n times this later than the first. */
  readonly takeoverStepMs: number
  /** An owner that was never seen here gets this long to show up: documents arrive before peers. */
  readonly ownerUnseenMs: number
  /** A member that lost all of several others at once is likely the one that was cut off: it waits this long. */
  readonly isolatedMs: number
  /** A timer this late says that this peer itself stood still: others may have given it up. */
  readonly stallMs: number
  /** What others claimed meanwhile is heard of within this time. */
  readonly doubtMs: number
  /** Period of the audit that repairs lost messages. */
  readonly auditMs: number
  /** An ended job stays readable this long, for peers that were away. */
  readonly lingerMs: number
  /** A task whose explicit scope fits no processor of the room fails after this. */
  readonly noProcessorMs: number
  /** Results that no owner asks for are kept this long. */
  readonly orphanResultMs: number
  /** Deaths of processors under a running task before it is quarantined. */
  readonly poisonLimit: number
  /** A task that was lost waits this long for another processor than those that died under it. */
  readonly elsewhereMs: number
  /** Most tasks ahead per processor: bounds what a dead peer loses. */
  readonly windowMax: number
  /** Work kept ahead of each processor, in milliseconds beyond the round trip. */
  readonly windowMs: number
  /**
   * A call that is expected to take no longer waits at the processor itself while another one runs there: the
   * way through this peer would cost it some percent of its time. Longer ones stay where they can be stolen.
   */
  readonly aheadMs: number
  /** Estimate for an operation that nobody has run yet. */
  readonly unknownRunMs: number
  /** Most calls handed to one processor at once. */
  readonly batchMax: number
  /** Generations of tasks that bodies spawn: a body that spawns itself must end some day. */
  readonly depthMax: number
  /** Tasks that one attempt may spawn. */
  readonly childrenMax: number
  /** Arguments and results larger than this many bytes become chunks by themselves. */
  readonly chunkFromBytes: number
  /** A chunk that could not be had is tried again after this: its holder may be dead and not known to be. */
  readonly unfedPauseMs: number
  /** Tries in a row before a task fails for want of a chunk: longer than any detection of a death. */
  readonly unfedMax: number
  /** A peer that leaves offers others at most this many bytes of chunks. */
  readonly farewellBytesMax: number
  /** What concerns a service is said again after this: votes, copies, orders, calls. */
  readonly serviceRetryMs: number
  /** A host waits this long with a newcomer, so that a burst of them is one change of voters. */
  readonly serviceJoinMs: number
  /** Host and follower are gone this long: the state is taken for lost. */
  readonly serviceLostMs: number
  /** A call whose host is out of reach this long fails. */
  readonly serviceAwayMs: number
  /** A host that hands over goes on when its follower has not taken over by then. */
  readonly handOverMs: number
}

export const defaultConfig: SchedulerConfig = Object.freeze({
  adoptGraceMs: 300,
  takeoverStepMs: 1000,
  ownerUnseenMs: 4000,
  isolatedMs: 5000,
  stallMs: 1000,
  doubtMs: 1500,
  auditMs: 1000,
  lingerMs: 60_000,
  noProcessorMs: 10_000,
  orphanResultMs: 60_000,
  poisonLimit: 3,
  elsewhereMs: 1000,
  windowMax: 1024,
  windowMs: 5,
  aheadMs: 20,
  unknownRunMs: 100,
  batchMax: 512,
  depthMax: 64,
  childrenMax: 10_000,
  chunkFromBytes: 65_536,
  unfedPauseMs: 500,
  unfedMax: 20,
  farewellBytesMax: 64 * 1024 * 1024,
  serviceRetryMs: 500,
  serviceJoinMs: 500,
  serviceLostMs: 5000,
  serviceAwayMs: 30_000,
  handOverMs: 3000,
})
