/**
 * Every limit of the wire and of membership, in one place. Exceeding one gives a `ShoalError`
 * with the code named beside it; nothing grows without a bound because a peer asks for it.
 */
export const limits = {
  /** Largest frame before a peer has proved itself, in bytes: a hello needs about 300. `E_TOO_LARGE` */
  helloBytesMax: 1024,
  /** Time from an open link to a verified hello, in milliseconds. `E_HELLO_TIMEOUT` */
  helloTimeoutMs: 5_000,
  /** Links that may be in their hello at the same time; more are closed at once. */
  hellosMax: 64,
  /** Largest frame on a control link, in bytes: one must never block the next for long. `E_TOO_LARGE` */
  controlBytesMax: 65_536,
  /** Bodies above this many bytes travel over the bulk link. */
  bulkFromBytes: 49_152,
  /** Scheduler messages of one turn are joined up to this many bytes, and split above it. */
  batchBytes: 32_768,
  /** Entries (tasks, results, attempts) in one scheduler message; more are split into several. */
  batchEntriesMax: 1024,
  /** Frames held while a hello is being verified or memory is short, in bytes; more closes the link. `E_TOO_LARGE` */
  heldBytesMax: 2_097_152,
  /** Largest message of any kind, in bytes; bigger values have to be chunks. `E_TOO_LARGE` */
  messageBytesMax: 67_108_864,
  /** Nesting of a message body. `E_DEPTH` */
  depthMax: 32,
  /** Values in one message body, nested ones included. `E_DECODE` */
  itemsMax: 262_144,
  /** Bytes accepted by a control link and not yet on the wire; the rest waits in our queue. */
  controlBufferedBytesMax: 524_288,
  /** Our queue in front of one control link, in bytes; a peer that is slower is cut off. */
  controlQueuedBytesMax: 67_108_864,
  /** Bytes of one chunk frame with its header: 64 KiB, half of every browser's smallest maximum. */
  chunkFrameBytes: 65_536,
  /** The same on a TCP line, where a frame is no more than a write: a piece of a chunk with what stands in front of it. */
  lineFrameBytes: 262_208,
  /** High watermark of a bulk link, in bytes: more made cold links three times slower. */
  bulkBufferedBytesMax: 262_144,
  /** The same on a TCP line. */
  lineBufferedBytesMax: 786_432,
  /** High watermark for chunks on a control link, in bytes: a heartbeat waits behind this and one chunk at most. */
  controlChunksBufferedBytesMax: 65_536,
  /** Bytes that a sender may have on the way before the receiver says that it took them in. */
  bulkWindowBytes: 2_097_152,
  /** The same before the receiver was heard on the link: it may not have accepted it yet, and holds all of it. */
  bulkFirstWindowBytes: 1_048_576,
  /** Bytes being put together from chunks, over all peers; above it receivers give no credit. */
  reassemblyBytesMax: 268_435_456,
  /** Longest wait for the next chunk of a message, in milliseconds: honest senders try again before. `E_CHUNK_TIMEOUT` */
  chunkTimeoutMs: 30_000,
  /** A bulk link on which nothing moves for this long although something waits is given up, in milliseconds. */
  bulkStallMs: 10_000,
  /** Bytes of one piece of a chunk, the unit of its hashes and of its way: every piece but the last has so many. */
  chunkPieceBytes: 262_144,
  /** Bytes of chunks in memory; the least recently used ones above it go to the disk. */
  chunkMemoryBytesMax: 268_435_456,
  /** Bytes of chunks in memory while there is no disk for them. `E_QUOTA` */
  chunkMemoryOnlyBytesMax: 1_073_741_824,
  /** Bytes of chunks in memory and on disk, and of one chunk. `E_QUOTA`, `E_TOO_LARGE` */
  chunkBytesMax: 17_179_869_184,
  /** Pieces that are asked of one peer ahead, over all chunks: what a fetch keeps beyond the chunk itself. */
  chunkPiecesAhead: 16,
  /** Pieces that one peer may ask for before it has got them; more are refused. `E_LIMIT` */
  chunkPiecesQueuedMax: 256,
  /** Longest wait for the next piece from a peer that lives, in milliseconds; then another one is asked. */
  chunkAnswerTimeoutMs: 60_000,
  /** Longest wait for a link to a holder that this peer has not met yet, in milliseconds. `E_CHUNK_LOST` */
  chunkHolderWaitMs: 3_000,
  /** An unused bulk link is closed after this many milliseconds. */
  bulkIdleMs: 10_000,
  /** Frames per second from a member, and as many at once. `E_RATE` */
  memberFramesPerS: 50_000,
  /** Frames per second from a contributor, and as many at once. `E_RATE` */
  contributorFramesPerS: 4_000,
  /** Refusals told to one sender per second: a flood must not make us flood. */
  refusalsPerS: 20,
  /** Identifiers (jobs, peers, processors, addresses), in characters. `E_SCHEMA` */
  idCharsMax: 256,
  /** Names and reasons, in characters. Longer ones are cut before they are sent. */
  nameCharsMax: 1024,
  /** Messages and stacks of errors, in characters. Longer ones are cut before they are sent. */
  errorCharsMax: 8_192,
  /** Nested causes of an error. Deeper ones are cut before they are sent. */
  causesMax: 8,
  /** Text of one operation's module, in characters. `E_TOO_LARGE` */
  sourceCharsMax: 16_777_216,
  /** Longest duration that a message may name, in milliseconds: what a timer can hold. */
  durationMsMax: 2_147_483_647,
  /** Processors that one peer may announce. */
  processorsMax: 1024,
  /** Calls in one journal, or replies and callers in one copy of a service's state. */
  serviceEntriesMax: 32_768,
  /** Voters of one claim of a service. */
  serviceVotersMax: 64,
  /** Services that call each other within one call. */
  serviceViaMax: 64,
  /** Addresses in one gossip frame. */
  gossipMax: 128,
  /** Peers up to which everybody is linked to everybody. */
  fullMeshPeers: 16,
  /** Links of one peer; a hello beyond is refused. `E_LIMIT` */
  linksMax: 48,
  /** Fenced peers remembered; the oldest is forgotten first. */
  fencesMax: 10_000,
  /** Addresses remembered for dialling. */
  addressesMax: 256,
} as const
