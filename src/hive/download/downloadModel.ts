import * as path from "node:path"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { makeFolder } from "../../system/makeFolder.ts"
import { type ManifestFile, manifestExtension, writeManifest } from "../models/ModelManifest.ts"
import { diskError } from "./errors.ts"
import type { CompletedFile, IncomingFolder } from "./IncomingFolder.ts"
import { checkRoom } from "./PartFile.ts"
import type { RemoteFile, RemoteModel } from "./RemoteModel.ts"
import { Transfer } from "./Transfer.ts"

const fetchFile = Effect.fnUntraced(function* (
  folder: IncomingFolder,
  model: RemoteModel,
  file: RemoteFile,
  report: (received: number) => void
) {
  const { complete, incoming, parts } = folder.pathsOf(model, file)
  const transfer = yield* Transfer
  const transferred = yield* transfer.fetch(file, complete, parts, (received) =>
    Effect.sync(() => report(received))
  )
  const fetched: ManifestFile = { name: file.name, ...transferred }
  yield* folder.markCompleted(model, file, fetched)
  return { fetched, incoming, place: complete } satisfies CompletedFile
})

/** Moves the files of a model to their targets and writes the manifest. The first file, which makes it visible, is last. */
const publish = Effect.fnUntraced(function* (
  folder: IncomingFolder,
  id: string,
  model: RemoteModel,
  files: ReadonlyArray<CompletedFile & { readonly target: string }>
) {
  const fs = yield* FileSystem.FileSystem
  const first = folder.targetOf(model, model.files[0])
  const at = DateTime.formatIso(yield* DateTime.now)
  for (const { place, target } of files.toReversed()) {
    yield* makeFolder(path.dirname(target))
    if (target === first) {
      const facts = files.map(({ fetched }) => fetched)
      const { defaults, from } = model
      const origin = defaults === undefined ? { from } : { from, defaults }
      yield* writeManifest(first + manifestExtension, { ids: [id], ...origin, at, files: facts })
    }
    yield* fs.rename(place, target)
  }
  for (const { incoming } of files) yield* folder.remove(incoming)
}, Effect.uninterruptible)

/** Fetches the missing files of a model, then publishes all of them. `report` receives the bytes of all files. */
export const downloadModel = Effect.fn("Downloads.downloadModel")(function* (
  folder: IncomingFolder,
  id: string,
  model: RemoteModel,
  report: (received: number) => void
) {
  const missing = yield* Effect.forEach(model.files, (file) => folder.missingBytes(model, file))
  yield* checkRoom(
    folder.root,
    missing.reduce((sum, bytes) => sum + bytes, 0)
  )
  const received = new Map<string, number>()
  const completed: Array<CompletedFile & { readonly target: string }> = []
  for (const file of model.files) {
    const count = (bytes: number) => {
      received.set(file.name, bytes)
      report([...received.values()].reduce((sum, count) => sum + count, 0))
    }
    const found = (yield* folder.findCompleted(model, file)) ?? (yield* fetchFile(folder, model, file, count))
    count(found.fetched.size)
    completed.push({ ...found, target: folder.targetOf(model, file) })
  }
  yield* Effect.mapError(
    publish(folder, id, model, completed),
    diskError(folder.targetOf(model, model.files[0]))
  )
})
