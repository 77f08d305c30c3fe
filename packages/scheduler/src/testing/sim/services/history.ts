/** One call, as its caller saw it. */
export interface SeenCall {
  readonly service: string
  /** One start of one peer. */
  readonly caller: string
  readonly token: number
  readonly askedAt: number
  answeredAt: number | null
  /** What it answered: the length after it, and the token before it. */
  place: number | null
  before: number | null
  code: string | null
}

/**
 * Says why the answers cannot come from one serial order of calls; empty when they can. Linear in the number of
 * calls: each answer names its own place and its predecessor's token.
 */
export function checkHistory(calls: readonly SeenCall[]): string[] {
  const found: string[] = []
  for (const service of new Set(calls.map((call) => call.service))) {
    found.push(...checkService(calls.filter((call) => call.service === service)))
  }
  return found
}

function checkService(calls: readonly SeenCall[]): string[] {
  const found: string[] = []
  const tokenAt = new Map<number, number>()
  const placeOf = new Map<number, number>()
  const place = (token: number, at: number, who: string): void => {
    const other = tokenAt.get(at)
    if (other !== undefined && other !== token)
      found.push(`[fork] ${who}: place ${at} is of ${other} and of ${token}`)
    tokenAt.set(at, token)
    const elsewhere = placeOf.get(token)
    if (elsewhere !== undefined && elsewhere !== at) {
      found.push(`[twice] ${who}: ${token} was applied at ${elsewhere} and at ${at}`)
    }
    placeOf.set(token, at)
  }
  for (const call of calls) {
    if (call.place === null || call.before === null) continue
    place(call.token, call.place, call.caller)
    if (call.place > 1) place(call.before, call.place - 1, call.caller)
    else if (call.before !== 0)
      found.push(`[fork] ${call.caller}: ${call.token} is first and has one before it`)
  }
  checkRealTime(calls, found)
  checkCallers(calls, found)
  return found
}

/** What was answered before a call was made stands before it. */
function checkRealTime(calls: readonly SeenCall[], found: string[]): void {
  const answered = calls
    .filter((call) => call.place !== null)
    .sort((left, right) => (left.answeredAt ?? 0) - (right.answeredAt ?? 0))
  const asked = calls
    .filter((call) => call.place !== null)
    .sort((left, right) => left.askedAt - right.askedAt)
  let highest = 0
  let next = 0
  for (const call of asked) {
    for (; next < answered.length; next++) {
      const earlier = answered[next] as SeenCall
      if ((earlier.answeredAt ?? 0) >= call.askedAt) break
      highest = Math.max(highest, earlier.place ?? 0)
    }
    if ((call.place ?? 0) <= highest) {
      found.push(
        `[lost] ${call.caller}: ${call.token} is at ${call.place}, though ${highest} was answered before it`,
      )
    }
  }
}

/** The calls of one caller run in the order in which it made them. */
function checkCallers(calls: readonly SeenCall[], found: string[]): void {
  const last = new Map<string, number>()
  for (const { caller, place, token } of calls) {
    if (place === null) continue
    if (place <= (last.get(caller) ?? 0))
      found.push(`[fifo] ${caller}: ${token} at ${place} is before an earlier call`)
    last.set(caller, place)
  }
}
