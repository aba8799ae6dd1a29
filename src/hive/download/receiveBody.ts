import * as Effect from "effect/Effect"
import { type DownloadError, InvalidAnswer } from "./errors.ts"
import type { OpenResponse } from "./Fetcher.ts"
import type { PartFile } from "./PartFile.ts"

const batchBytes = 2 * 1024 * 1024

/**
 * Frees the memory of a written chunk, unless its buffer holds other data. Otherwise V8 would collect the garbage of the
 * complete hive for every 40 MB.
 */
const release = ({ buffer, byteLength }: Uint8Array) => {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}

/**
 * Appends a response to a part in batches, including the last batch of an interrupted response. Returns the number of bytes;
 * fails for more than `maxBytes`.
 */
export const receiveBody = (
  opened: OpenResponse,
  url: string,
  target: { readonly parts: PartFile; readonly part: number; readonly maxBytes: number },
  report: Effect.Effect<void>
) =>
  Effect.suspend(() => {
    const { maxBytes, part, parts } = target
    let pending: Array<Uint8Array> = []
    let pendingBytes = 0
    let received = 0
    const flush = Effect.suspend(() => {
      if (pendingBytes === 0) return Effect.void
      const batch = pending
      pending = []
      pendingBytes = 0
      const written = Effect.suspend(() => {
        batch.forEach(release)
        return report
      })
      return Effect.andThen(parts.append(part, batch), written)
    })
    const take = (chunks: ReadonlyArray<Uint8Array>): Effect.Effect<void, DownloadError> => {
      for (const chunk of chunks) {
        pending.push(chunk)
        pendingBytes += chunk.length
        received += chunk.length
      }
      if (received > maxBytes) {
        pendingBytes = 0
        return Effect.fail(
          new InvalidAnswer({ url, detail: `sent more than the ${maxBytes} bytes of a range` })
        )
      }
      return pendingBytes >= batchBytes ? flush : Effect.void
    }
    return opened.read(take).pipe(
      Effect.onExit(() => Effect.ignore(flush)),
      Effect.andThen(flush),
      Effect.andThen(Effect.sync(() => received))
    )
  })
