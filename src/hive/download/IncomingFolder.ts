import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { incomingFolder, ManifestFile } from "../models/ModelManifest.ts"
import { diskError } from "./errors.ts"
import type { RemoteFile, RemoteModel } from "./RemoteModel.ts"

// The unit of `blocks` in stat(2).
const blockBytes = 512

const FetchedJson = Schema.fromJsonString(ManifestFile)
const decodeFetched = Schema.decodeUnknownOption(FetchedJson)
const encodeFetched = Schema.encodeSync(FetchedJson)

/** A complete, verified file: its facts, its folder in `incoming`, and where it is now. */
export interface CompletedFile {
  readonly fetched: ManifestFile
  readonly incoming: string
  readonly place: string
}

export const exists = (file: string) =>
  FileSystem.FileSystem.use((fs) => Effect.orElseSucceed(fs.exists(file), () => false))

/** The layout of a models folder during downloads: targets of files, and their data in `incoming` until then. */
export class IncomingFolder {
  readonly root: string
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
    this.root = path.join(folder, incomingFolder)
  }

  targetOf(model: RemoteModel, file: RemoteFile) {
    return path.join(this.#folder, model.folder, file.name)
  }

  pathsOf(model: RemoteModel, file: RemoteFile) {
    const incoming = path.join(this.root, model.folder, file.name)
    return {
      incoming,
      parts: path.join(incoming, "parts"),
      complete: path.join(incoming, "whole"),
      facts: path.join(incoming, "whole.json")
    }
  }

  /** A file that was completed earlier: it waits for the other files of its model, or is at its target. */
  findCompleted(model: RemoteModel, file: RemoteFile) {
    const { complete, facts, incoming } = this.pathsOf(model, file)
    const target = this.targetOf(model, file)
    return Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const fetched = decodeFetched(yield* Effect.orElseSucceed(fs.readFileString(facts), () => ""))
      if (Option.isNone(fetched)) return undefined
      if (file.sha256 !== undefined && file.sha256 !== fetched.value.sha256) return undefined
      for (const place of [complete, target]) {
        if (yield* exists(place)) return { fetched: fetched.value, incoming, place } satisfies CompletedFile
      }
      return undefined
    })
  }

  /** Records the facts of a completed file. */
  markCompleted(model: RemoteModel, file: RemoteFile, fetched: ManifestFile) {
    const { facts } = this.pathsOf(model, file)
    return FileSystem.FileSystem.use((fs) => fs.writeFileString(facts, encodeFetched(fetched))).pipe(
      Effect.mapError(diskError(facts))
    )
  }

  /** The bytes of a file that are still to be stored; zero when its size is unknown. */
  missingBytes(model: RemoteModel, file: RemoteFile) {
    const { size } = file
    if (size === undefined) return Effect.succeed(0)
    const data = path.join(this.pathsOf(model, file).parts, "data")
    const completed = this.findCompleted(model, file)
    return Effect.gen(function* () {
      if ((yield* completed) !== undefined) return 0
      const fs = yield* FileSystem.FileSystem
      // The data file is sparse: only its blocks are stored.
      const blocks = yield* Effect.match(fs.stat(data), {
        onSuccess: (info) => Option.getOrElse(info.blocks, () => 0),
        onFailure: () => 0
      })
      return Math.max(0, size - Number(blocks) * blockBytes)
    })
  }

  /** Removes a folder in `incoming`, and its parents if they are then empty. */
  remove(incoming: string) {
    const { root } = this
    return Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      yield* fs.remove(incoming, { recursive: true, force: true })
      for (let parent = path.dirname(incoming); parent.startsWith(root); parent = path.dirname(parent)) {
        const left = yield* Effect.orElseSucceed(fs.readDirectory(parent), () => ["?"])
        if (left.length > 0) return
        yield* Effect.ignore(fs.remove(parent, { recursive: true }))
      }
    })
  }
}
