const storageKey = 'shoal-invite'

/**
 * Takes the invite from the address and removes it there, so that it is not shown, bookmarked or
 * shared by accident. It stays in this tab's session storage: a reload joins the same room.
 */
export function takeInvite(): string | null {
  if (isInvite(location.href)) {
    const invite = location.href
    history.replaceState(null, '', location.pathname + location.search)
    keepInvite(invite)
    return invite
  }
  return read(storageKey)
}

/** Remembers the invite for a reload of this tab; `null` forgets it. */
export function keepInvite(invite: string | null): void {
  write(storageKey, invite)
}

/** `true` when the text looks like an invite; whether it is a good one shows on joining. */
export function isInvite(text: string): boolean {
  return /#.*\b(room|k)=/.test(text)
}

/** The public name of the invite's room, for people: a made-up one is cut short. Empty when it has none. */
export function roomOf(invite: string): string {
  const room = new URLSearchParams(invite.slice(invite.indexOf('#') + 1)).get('room') ?? ''
  return /^[0-9a-f]{20}$/.test(room) ? room.slice(0, 6) : room
}

/** This tab's name for itself: what was typed last, or a made-up one. */
export function rememberedName(): string {
  const kept = read('shoal-name')
  if (kept !== null) return kept
  const name = `${pick(adjectives)} ${pick(fishes)}`
  keepName(name)
  return name
}

export function keepName(name: string): void {
  write('shoal-name', name)
}

const adjectives = [
  'Amber',
  'Brisk',
  'Coral',
  'Dapper',
  'Eager',
  'Gentle',
  'Jolly',
  'Lucky',
  'Quiet',
  'Silver',
]
const fishes = [
  'Anchovy',
  'Bream',
  'Cod',
  'Dace',
  'Herring',
  'Mackerel',
  'Perch',
  'Sardine',
  'Sprat',
  'Trout',
]

function pick(words: readonly string[]): string {
  const [number] = crypto.getRandomValues(new Uint32Array(1))
  return words[(number as number) % words.length] as string
}

// Storage may be forbidden in a private window: then a reload forgets, and nothing else breaks.
function read(key: string): string | null {
  try {
    return sessionStorage.getItem(key)
  } catch {
    return null
  }
}

function write(key: string, value: string | null): void {
  try {
    if (value === null) sessionStorage.removeItem(key)
    else sessionStorage.setItem(key, value)
  } catch {}
}
