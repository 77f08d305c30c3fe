import type { VNode } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { GalleryPicture } from '../gallery-service.ts'
import type { PageState } from '../page-state.ts'
import type { Session } from '../session.ts'
import { count } from '../words.ts'

/** The room's finished pictures, and where the service that keeps them lives. */
export function GalleryPanel({
  state,
  session,
}: {
  readonly state: PageState
  readonly session: Session
}): VNode {
  const { gallery, galleryHost } = state
  return (
    <section class="card gallery" aria-labelledby="gallery-title">
      <h2 id="gallery-title">Gallery</h2>
      {gallery === null ? (
        <p class="quiet">Finished pictures will hang here: the gallery opens when somebody contributes.</p>
      ) : (
        <>
          <p class="quiet">
            {count(gallery.visits, 'visit')}. Kept by{' '}
            <strong>{gallery.isHere ? 'this page' : galleryHost.name}</strong>, epoch {gallery.epoch}.{' '}
            {gallery.isAlone
              ? 'Nobody else has a copy.'
              : 'Another peer has a copy of everything: should this one go, it goes on there.'}
          </p>
          {gallery.pictures.length === 0 ? (
            <p>No picture is finished yet.</p>
          ) : (
            <ul class="pictures">
              {gallery.pictures.map((picture) => (
                <li key={picture.job}>
                  <Thumbnail picture={picture} />
                </li>
              ))}
            </ul>
          )}
          {!gallery.isHere && (
            <div class="row">
              <button type="button" onClick={() => session.bringGalleryHere()}>
                Bring it here
              </button>
              {galleryHost.canBeEnded && !gallery.isAlone && (
                <EndHost name={galleryHost.name} onEnd={() => session.endGalleryHost()} />
              )}
            </div>
          )}
        </>
      )}
    </section>
  )
}

/** Asks first: it ends a peer, with all that it does for the room. */
function EndHost({ name, onEnd }: { readonly name: string; readonly onEnd: () => void }): VNode {
  const [isAsking, setIsAsking] = useState(false)
  if (!isAsking)
    return (
      <button type="button" onClick={() => setIsAsking(true)}>
        End {name} …
      </button>
    )
  return (
    <fieldset class="row">
      <legend>{name} leaves the room at once, and the gallery moves. Sure?</legend>
      <button
        type="button"
        class="main"
        onClick={() => {
          setIsAsking(false)
          onEnd()
        }}
      >
        End it
      </button>
      <button type="button" onClick={() => setIsAsking(false)}>
        Keep it
      </button>
    </fieldset>
  )
}

function Thumbnail({ picture }: { readonly picture: GalleryPicture }): VNode {
  const [url, setUrl] = useState('')
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([picture.image.slice()], { type: 'image/png' }))
    setUrl(made)
    return () => URL.revokeObjectURL(made)
  }, [picture.job])
  return (
    <figure>
      {url !== '' && <img src={url} alt={`Fractal number ${picture.no}`} width={192} height={128} />}
      <figcaption>Picture {picture.no}</figcaption>
    </figure>
  )
}
