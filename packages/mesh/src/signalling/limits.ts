/** What one signalling server takes on. */
export interface SignallingLimits {
  /** Sockets in all. Default 1,024. */
  readonly clientsMax: number
  /** Sockets of one network address: a household or an office shares one. Default 256. */
  readonly clientsPerAddressMax: number
  /** Largest message in bytes: a session description has about 2,000. Default 32 KiB. */
  readonly messageBytesMax: number
  /** Messages per second of one client in the long run. Default 100. */
  readonly messagesPerSecond: number
  /** Messages of one client at once: joining a room of 32 takes about 600. Default 2,000. */
  readonly messagesBurst: number
}

export const SIGNALLING_LIMITS: SignallingLimits = {
  clientsMax: 1_024,
  clientsPerAddressMax: 256,
  messageBytesMax: 32 * 1024,
  messagesPerSecond: 100,
  messagesBurst: 2_000,
}

/** Time after which the server forgets a message for an absent client, in milliseconds. */
export const EXPIRE_TIMEOUT_MS: number = 1_500
