import type { VNode } from 'preact'
import { useEffect, useState } from 'preact/hooks'

/** The link as a code for a phone's camera. The encoder is loaded when first needed. */
export function InviteCode({ invite }: { readonly invite: string }): VNode | null {
  const [cells, setCells] = useState<readonly (readonly boolean[])[]>([])
  useEffect(() => {
    // Without the code the link still works.
    void import('uqr').then(
      ({ encode }) => setCells(encode(invite).data),
      () => setCells([]),
    )
  }, [invite])
  if (cells.length === 0) return null
  const path = cells
    .flatMap((row, y) => row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : '')))
    .join('')
  return (
    <svg
      class="code"
      viewBox={`0 0 ${cells.length} ${cells.length}`}
      role="img"
      aria-label="The link as a code"
    >
      <path d={path} />
    </svg>
  )
}
