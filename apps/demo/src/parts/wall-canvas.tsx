import type { VNode } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { imageHeight, imageWidth, isFromGpu, type Tile } from '../fractal.ts'
import { coloursOf, type PaletteName, pixelsOf } from '../palette.ts'
import type { Session } from '../session.ts'

interface WallCanvasProps {
  readonly session: Session
  readonly palette: PaletteName
  readonly hasBorders: boolean
  readonly label: string
}

/** The picture, and over it the borders that say who drew what: two canvases, so that neither spoils the other. */
export function WallCanvas({ session, palette, hasBorders, label }: WallCanvasProps): VNode {
  const picture = useRef<HTMLCanvasElement>(null)
  const borders = useRef<HTMLCanvasElement>(null)
  useEffect(() => {
    const colours = coloursOf(palette)
    const pictureContext = picture.current?.getContext('2d') ?? null
    const borderContext = borders.current?.getContext('2d') ?? null
    if (pictureContext === null || borderContext === null) return
    return session.onTiles({
      wiped() {
        pictureContext.clearRect(0, 0, imageWidth, imageHeight)
        borderContext.clearRect(0, 0, imageWidth, imageHeight)
      },
      tile(tile, colour) {
        const { left, top, width, height } = tile.spec
        pictureContext.putImageData(new ImageData(pixelsOf(tile, colours), width, height), left, top)
        drawBorder(borderContext, tile, colour)
      },
    })
  }, [session, palette])
  return (
    <>
      <canvas
        ref={picture}
        class="picture"
        width={imageWidth}
        height={imageHeight}
        role="img"
        aria-label={label}
      />
      <canvas ref={borders} class="borders" width={imageWidth} height={imageHeight} hidden={!hasBorders} />
    </>
  )
}

/** Solid for a worker, dashed for a GPU: told apart without colours, too. */
function drawBorder(context: CanvasRenderingContext2D, tile: Tile, colour: string): void {
  const { left, top, width, height } = tile.spec
  context.setLineDash(isFromGpu(tile) ? [8, 7] : [])
  context.strokeStyle = colour
  context.lineWidth = 3
  context.strokeRect(left + 2.5, top + 2.5, width - 5, height - 5)
}
