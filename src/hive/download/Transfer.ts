import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import { Settings } from "../../settings/Settings.ts"
import { makeFolder } from "../../system/makeFolder.ts"
import { diskError, type DownloadError, InvalidAnswer, WrongChecksum, WrongSize } from "./errors.ts"
import { Fetcher } from "./Fetcher.ts"
import type { RemoteFile } from "./RemoteModel.ts"
import { RemoteSource } from "./RemoteSource.ts"
import { type ReportBytes, transferAtOnce, transferInRanges, type TransferOptions } from "./transferFile.ts"
import { withRetries } from "./withRetries.ts"

/** A complete, verified file. Size in bytes. */
export interface Transferred {
  readonly size: number
  readonly sha256: string
}

/** Fetches files in parallel parts, resumes interrupted ones, and verifies the result. */
export class Transfer extends Context.Service<
  Transfer,
  {
    /**
     * Fetches a file to `target`, where it appears complete and verified. Until then its data is in the folder `incoming`,
     * from which an interrupted transfer resumes. `report` receives the bytes that are present, and the total if the server
     * stated it; the bytes decrease only when a changed file starts again.
     */
    readonly fetch: (
      file: RemoteFile,
      target: string,
      incoming: string,
      report: ReportBytes
    ) => Effect.Effect<Transferred, DownloadError>
  }
>()("rbee/hive/download/Transfer") {
  /** With parts of the given size, in bytes. */
  static readonly layerWith = (partSize: number) =>
    Layer.effect(
      Transfer,
      Effect.suspend(() => make(partSize))
    )

  static readonly layerNoDeps = this.layerWith(64 * 1024 * 1024)
}

const maxRestarts = 2

const discard = (incoming: string) =>
  FileSystem.FileSystem.use((fs) => Effect.ignore(fs.remove(incoming, { recursive: true, force: true })))

/** Fails, and discards the data, if a received file differs from the announced one. */
const verify = Effect.fnUntraced(function* (
  file: RemoteFile,
  size: number | undefined,
  received: Transferred,
  incoming: string
) {
  if (size !== undefined && received.size !== size) {
    yield* discard(incoming)
    return yield* new WrongSize({ file: file.name, expected: file.size ?? size, got: received.size })
  }
  if (file.sha256 !== undefined && file.sha256 !== received.sha256) {
    yield* discard(incoming)
    return yield* new WrongChecksum({ file: file.name, expected: file.sha256, got: received.sha256 })
  }
})

const fetchOnce = Effect.fnUntraced(function* (file: RemoteFile, target: string, options: TransferOptions) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { incoming, retries, source } = options
  const facts = yield* withRetries(source.facts, retries, () => 0)
  const size = facts.size ?? file.size
  if (file.size !== undefined && size !== file.size) {
    return yield* new WrongSize({ file: file.name, expected: file.size, got: size ?? 0 })
  }
  const { data, ...received } =
    facts.hasRanges && size !== undefined
      ? yield* transferInRanges(options, { size, etag: facts.etag, sha256: file.sha256 })
      : yield* transferAtOnce(options, size)
  yield* verify(file, size, received, incoming)
  yield* Effect.mapError(
    Effect.andThen(makeFolder(path.dirname(target)), fs.rename(data, target)),
    diskError(target)
  )
  yield* discard(incoming)
  return received
})

const make = Effect.fnUntraced(function* (partSize: number) {
  const context = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  const fetcher = yield* Fetcher
  const { connections, retries } = (yield* Settings).models

  const fetch = (
    file: RemoteFile,
    target: string,
    options: TransferOptions,
    restarts: number
  ): Effect.Effect<Transferred, DownloadError, FileSystem.FileSystem | Path.Path> =>
    Effect.catchTag(fetchOnce(file, target, options), "Changed", ({ url }) =>
      restarts > 0
        ? Effect.andThen(discard(options.incoming), fetch(file, target, options, restarts - 1))
        : Effect.fail(new InvalidAnswer({ url, detail: "changes repeatedly during the transfer" }))
    )

  return Transfer.of({
    fetch: Effect.fn("Transfer.fetch")((file, target, incoming, report) => {
      const source = new RemoteSource(fetcher, file)
      const options = { source, incoming, partSize, connections, retries, report }
      return Effect.provideContext(fetch(file, target, options, maxRestarts), context)
    })
  })
})
