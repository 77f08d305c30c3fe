/** Largest message of a link in bytes. SCTP peers agree on 262,144: one byte more ends the connection. */
export const MESSAGE_BYTES_MAX: number = 256 * 1024 - 1
/** Largest message of a bulk line in bytes: a piece of a chunk, with what stands in front of it. */
export const LINE_MESSAGE_BYTES_MAX: number = 288 * 1024
/** Below this many queued bytes a link reports that it drained. */
export const LOW_WATERMARK_BYTES: number = 64 * 1024
/** Fallback poll while above the watermark: some stacks lose `bufferedamountlow`. */
export const DRAIN_POLL_MS: number = 20
/** Messages kept for a listener that is not there yet, in bytes; more ends the link. */
export const KEPT_BYTES_MAX: number = 4 * 1024 * 1024
/** Time for a dial from start to open channel, waiting for signalling included. */
export const DIAL_TIMEOUT_MS: number = 10_000
/** Time for the signalling server to say `OPEN`: it never does while it holds an older socket of the same id. */
export const OPEN_TIMEOUT_MS: number = 5_000
/** First and longest pause between tries to reach the signalling server. */
export const RECONNECT_MS: { readonly first: number; readonly max: number } = { first: 250, max: 10_000 }
/** Pause between listings of the room: the fallback for hints that were missed. */
export const LISTING_MS: number = 10_000
/** Listings that may fail in a row before the signalling socket counts as dead. */
export const LISTING_FAILURES_MAX: number = 3
/** How long a closed link may still send what was queued. */
export const LINGER_MS: number = 250
/** Connections that one address may have open or in set-up: two channels, and each once more while re-dialled. */
export const CONNECTIONS_PER_ADDRESS_MAX: number = 4
/** Connections in set-up that others dialled: each holds a native connection. */
export const INBOUND_PENDING_MAX: number = 64
/** Largest session description in characters; ours have under 2,000. */
export const SDP_CHARS_MAX: number = 16_384
/** Largest ICE candidate in characters. */
export const CANDIDATE_CHARS_MAX: number = 1_024
/** Addresses that one hint or listing may name. */
export const ADDRESSES_MAX: number = 4_096
/** Connections to a peer's port that have not proved themselves yet; more are closed at once. */
export const LINE_STRANGERS_MAX: number = 32
/** Time that such a connection has for its proof, in milliseconds. */
export const LINE_PROOF_TIMEOUT_MS: number = 5_000
/** Time for a call to one of a peer's addresses, proof included, in milliseconds. */
export const LINE_CALL_TIMEOUT_MS: number = 1_500
/** Pause before a call after a line broke, doubled while lines do not last, in milliseconds. */
export const LINE_AGAIN_MS: { readonly first: number; readonly max: number } = { first: 500, max: 60_000 }
/** A line that brings nothing for so long, though something waits for its receipt, is given up; in milliseconds. */
export const LINE_STALL_MS: number = 1_500
/** What a peer may say of its lines at once, in characters; an offer has about 200. */
export const LINE_TEXT_CHARS_MAX: number = 4_096
/** Addresses that a peer may tell it listens on. */
export const LINE_HOSTS_MAX: number = 8
