import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type { Narrate, ReportProgress } from "../../job/withNarration.ts"
import * as ModelId from "../models/ModelId.ts"
import { manifestExtension } from "../models/ModelManifest.ts"
import { makeActiveDownloads } from "./ActiveDownloads.ts"
import { downloadModel } from "./downloadModel.ts"
import type { DownloadError, FetchError } from "./errors.ts"
import { exists, IncomingFolder } from "./IncomingFolder.ts"
import { ModelSources } from "./ModelSources.ts"
import { adoptFile, updateManifest } from "./registerModel.ts"
import type { RemoteModel } from "./RemoteModel.ts"
import type { SourceError } from "./SourceErrors.ts"
import { Transfer } from "./Transfer.ts"

export type DownloadFailure = DownloadError | FetchError | ModelId.InvalidModelId | SourceError

/** Downloads models to this machine. */
export class Downloads extends Context.Service<
  Downloads,
  {
    /**
     * Returns the path of the model's first file when all its files are complete and verified. Requests for the same model
     * share one download, which ends when the last of them leaves; its data is kept for the next one.
     */
    readonly run: (
      id: string,
      narrate: Narrate,
      report: ReportProgress
    ) => Effect.Effect<string, DownloadFailure>
    /** Removes the partial download of a model that is not being downloaded. Returns false when there is none. */
    readonly discard: (id: ModelId.ModelId) => Effect.Effect<boolean>
  }
>()("rbee/hive/download/Downloads") {
  /** Into the given models folder. */
  static readonly layerNoDeps = (folder: string) => Layer.effect(Downloads, make(folder))
}

const totalOf = ({ files }: RemoteModel) => {
  let total = 0
  for (const { size } of files) {
    if (size === undefined) return undefined
    total += size
  }
  return total
}

/** The subfolder of a model's partial download. */
const partialFolderOf = (id: ModelId.ModelId) => {
  if (id._tag === "HuggingFace") return `hf/${id.org}/${id.repo}`
  if (id._tag === "Ollama") return `ollama/${id.name}/${id.tag ?? "latest"}.gguf`
  return undefined
}

const make = Effect.fnUntraced(function* (folder: string) {
  const context = yield* Effect.context<FileSystem.FileSystem | Transfer>()
  const sources = yield* ModelSources
  const incoming = new IncomingFolder(folder)
  const active = yield* makeActiveDownloads

  const fetchModel = Effect.fnUntraced(function* (
    id: string,
    model: RemoteModel,
    narrate: Narrate,
    report: ReportProgress
  ) {
    const target = incoming.targetOf(model, model.files[0])
    const manifest = target + manifestExtension
    if (yield* exists(target)) {
      yield* updateManifest(id, model, manifest)
      yield* narrate("model_ready", `${id} is already on this hive`)
      return target
    }
    const files = model.files.length === 1 ? model.files[0].name : `${model.files.length} files`
    yield* narrate(
      "model_download",
      active.has(target)
        ? `Joining the running download of ${files}`
        : `Downloading ${files} from ${model.from}`
    )
    yield* active.run(
      {
        key: target,
        total: totalOf(model),
        isPresent: Effect.provideContext(exists(target), context),
        start: (report) => Effect.provideContext(downloadModel(incoming, id, model, report), context)
      },
      report
    )
    yield* updateManifest(id, model, manifest)
    yield* narrate("model_ready", `${id} downloaded and verified`)
    return target
  })

  return Downloads.of({
    discard: Effect.fn("Downloads.discard")(function* (id) {
      const partial = partialFolderOf(id)
      if (partial === undefined) return false
      const isActive = active.keys().some((target) => target.startsWith(path.join(folder, partial)))
      const data = path.join(incoming.root, partial)
      if (isActive || !(yield* exists(data))) return false
      yield* Effect.ignore(incoming.remove(data))
      return true
    }, Effect.provideContext(context)),
    run: Effect.fn("Downloads.run")(function* (text, narrate, report) {
      const parsed = yield* Effect.fromResult(ModelId.parse(text))
      const id = ModelId.format(parsed)
      if (parsed._tag === "File") return yield* adoptFile(folder, id, parsed.path)
      yield* narrate("model_find", `Looking for ${id}`)
      const model = yield* sources.resolve(parsed)
      for (const note of model.notes ?? []) yield* narrate("model_note", note)
      return yield* fetchModel(id, model, narrate, report)
    }, Effect.provideContext(context))
  })
})
