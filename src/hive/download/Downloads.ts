import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import type { Narrate, ReportProgress } from "../../job/withNarration.ts"
import { systemProblem } from "../../settings/systemProblem.ts"
import { makeFolder } from "../../system/makeFolder.ts"
import * as ModelId from "../models/ModelId.ts"
import {
  incomingFolder,
  ManifestFile,
  manifestExtension,
  type ModelManifest,
  readManifest,
  writeManifest
} from "../models/ModelManifest.ts"
import { type DownloadError, type FetchError, diskError, FileNotReadable } from "./errors.ts"
import { ModelSources } from "./ModelSources.ts"
import { checkRoom } from "./PartFile.ts"
import { Rate } from "./Rate.ts"
import type { RemoteFile, RemoteModel } from "./RemoteModel.ts"
import type { SourceError } from "./SourceErrors.ts"
import { Transfer } from "./Transfer.ts"

export type DownloadFailure = DownloadError | FetchError | ModelId.InvalidModelId | SourceError

/** Brings models to this machine. */
export class Downloads extends Context.Service<
  Downloads,
  {
    /**
     * Returns the path of the model's first file when all its files are there, whole and checked. Those who ask for one
     * model at the same time share one download, which ends when the last of them leaves; what had come by then is kept.
     */
    readonly run: (
      id: string,
      narrate: Narrate,
      report: ReportProgress
    ) => Effect.Effect<string, DownloadFailure>
    /** Removes what has come of the model, if no download of it runs; false when there was nothing. */
    readonly discard: (id: ModelId.ModelId) => Effect.Effect<boolean>
  }
>()("rbee/hive/download/Downloads") {
  /** Into this folder. */
  static readonly layerNoDeps = (folder: string) => Layer.effect(Downloads, make(folder))
}

interface ActiveDownload {
  /** Who waits for it. */
  followers: number
  received: number
  readonly total: number | undefined
  readonly fiber: Fiber.Fiber<void, DownloadError>
}

const progressInterval = "500 millis"
// What the system counts blocks in (stat(2)).
const blockBytes = 512

const FetchedJson = Schema.fromJsonString(ManifestFile)
const decodeFetched = Schema.decodeUnknownOption(FetchedJson)
const encodeFetched = Schema.encodeSync(FetchedJson)

const totalOf = ({ files }: RemoteModel) => {
  let total = 0
  for (const { size } of files) {
    if (size === undefined) return undefined
    total += size
  }
  return total
}

const make = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const clock = yield* Clock.Clock
  const sources = yield* ModelSources
  const transfer = yield* Transfer
  const scope = yield* Effect.scope
  const flights = new Map<string, ActiveDownload>()
  // One at a time looks whether a download runs: two of one model would write into each other's files.
  const startLock = yield* Semaphore.make(1)

  const onDisk = <A>(
    effect: Effect.Effect<A, PlatformError.PlatformError, FileSystem.FileSystem>,
    where: string
  ) => effect.pipe(Effect.provideService(FileSystem.FileSystem, fs), Effect.mapError(diskError(where)))

  const targetOf = (model: RemoteModel, file: RemoteFile) => path.join(folder, model.folder, file.name)
  const isThere = (file: string) => Effect.orElseSucceed(fs.exists(file), () => false)

  const incomingOf = (model: RemoteModel, file: RemoteFile) => {
    const incoming = path.join(folder, incomingFolder, model.folder, file.name)
    const parts = path.join(incoming, "parts")
    return { incoming, parts, whole: path.join(incoming, "whole"), facts: path.join(incoming, "whole.json") }
  }

  /** A file that came whole before: it waits for the others of its model, or was the last that is in its place. */
  const findCompleted = Effect.fnUntraced(function* (model: RemoteModel, file: RemoteFile) {
    const { facts, incoming, whole } = incomingOf(model, file)
    const fetched = decodeFetched(yield* Effect.orElseSucceed(fs.readFileString(facts), () => ""))
    if (fetched._tag === "None") return undefined
    if (file.sha256 !== undefined && file.sha256 !== fetched.value.sha256) return undefined
    for (const place of [whole, targetOf(model, file)]) {
      if (yield* isThere(place)) return { fetched: fetched.value, incoming, place }
    }
    return undefined
  })

  /** Fetches a file into the incoming folder. */
  const fetchFile = Effect.fnUntraced(function* (
    model: RemoteModel,
    file: RemoteFile,
    report: (received: number) => void
  ) {
    const { facts, incoming, parts, whole } = incomingOf(model, file)
    const got = yield* transfer.fetch(file, whole, parts, (received) => Effect.sync(() => report(received)))
    const fetched: ManifestFile = { name: file.name, ...got }
    yield* onDisk(fs.writeFileString(facts, encodeFetched(fetched)), facts)
    return { fetched, incoming, place: whole }
  })

  /** Bytes of a file that have still to come, if its size is known. What has come of it fills blocks of the disk. */
  const missingOf = Effect.fnUntraced(function* (model: RemoteModel, file: RemoteFile) {
    if (file.size === undefined || (yield* findCompleted(model, file)) !== undefined) return 0
    const parts = path.join(incomingOf(model, file).parts, "data")
    const blocks = yield* Effect.orElseSucceed(
      Effect.map(fs.stat(parts), (info) => Option.getOrElse(info.blocks, () => 0)),
      () => 0
    )
    return Math.max(0, file.size - Number(blocks) * blockBytes)
  })

  /** Fetches the files of a model and shows them when all are whole: the first, by which it is found, last. */
  const downloadModel = Effect.fnUntraced(function* (
    id: string,
    model: RemoteModel,
    report: (received: number) => void
  ) {
    const missing = yield* Effect.forEach(model.files, (file) => missingOf(model, file))
    const room = missing.reduce((sum, bytes) => sum + bytes, 0)
    yield* checkRoom(path.join(folder, incomingFolder), room)

    const received = new Map<string, number>()
    const arrived: Array<{ fetched: ManifestFile; incoming: string; place: string; target: string }> = []
    for (const file of model.files) {
      const count = (bytes: number) => {
        received.set(file.name, bytes)
        report([...received.values()].reduce((sum, count) => sum + count, 0))
      }
      const got = (yield* findCompleted(model, file)) ?? (yield* fetchFile(model, file, count))
      count(got.fetched.size)
      arrived.push({ ...got, target: targetOf(model, file) })
    }
    const first = targetOf(model, model.files[0])
    const at = DateTime.formatIso(yield* DateTime.now)
    yield* onDisk(
      Effect.gen(function* () {
        for (const { place, target } of arrived.toReversed()) {
          yield* makeFolder(path.dirname(target))
          if (target === first) {
            const files = arrived.map(({ fetched }) => fetched)
            const { defaults, from } = model
            const origin = defaults === undefined ? { from } : { from, defaults }
            yield* writeManifest(first + manifestExtension, { ids: [id], ...origin, at, files })
          }
          yield* fs.rename(place, target)
        }
        for (const { incoming } of arrived) yield* removeWithEmptyParents(incoming)
      }).pipe(Effect.uninterruptible),
      first
    )
  })

  const removeWithEmptyParents = Effect.fnUntraced(function* (incoming: string) {
    yield* fs.remove(incoming, { recursive: true, force: true })
    const root = path.join(folder, incomingFolder)
    for (let parent = path.dirname(incoming); parent.startsWith(root); parent = path.dirname(parent)) {
      const left = yield* Effect.orElseSucceed(fs.readDirectory(parent), () => ["?"])
      if (left.length > 0) return
      yield* Effect.ignore(fs.remove(parent, { recursive: true }))
    }
  })

  /** The model is there already: from now on it is found under this id too, and has the defaults of its source. */
  const updateManifest = Effect.fnUntraced(function* (id: string, { defaults }: RemoteModel, file: string) {
    const found = yield* Effect.provideService(readManifest(file), FileSystem.FileSystem, fs)
    if (found._tag === "None") return
    const { ids } = found.value
    if (ids.includes(id) && Equal.equals(defaults, found.value.defaults)) return
    const { defaults: _before, ...known } = found.value
    const manifest: ModelManifest = {
      ...known,
      ids: ids.includes(id) ? ids : [...ids, id],
      ...(defaults === undefined ? {} : { defaults })
    }
    yield* onDisk(writeManifest(file, manifest), file)
  })

  const begin = Effect.fnUntraced(function* (id: string, model: RemoteModel, key: string) {
    const state = { received: 0 }
    const fiber: Fiber.Fiber<void, DownloadError> = yield* downloadModel(id, model, (received) => {
      state.received = received
    }).pipe(Effect.ensuring(Effect.sync(() => flights.delete(key))), Effect.forkIn(scope))
    const flight: ActiveDownload = {
      followers: 0,
      total: totalOf(model),
      fiber,
      get received() {
        return state.received
      }
    }
    flights.set(key, flight)
    return flight
  })

  /** Joins the download that runs, or begins one; none when the model has come since it was looked for. */
  const joinOrStart = Effect.fnUntraced(function* (id: string, model: RemoteModel, target: string) {
    const running = flights.get(target)
    if (running === undefined && (yield* isThere(target))) return undefined
    const flight = running ?? (yield* begin(id, model, target))
    flight.followers++
    return flight
  })

  // Who asks for the model while the last one leaves begins a download of its own, when this one has ended.
  const leave = (flight: ActiveDownload) =>
    startLock.withPermit(
      Effect.suspend(() => {
        flight.followers--
        return flight.followers === 0 ? Fiber.interrupt(flight.fiber) : Effect.void
      })
    )

  const follow = (flight: ActiveDownload, report: ReportProgress) => {
    const rate = new Rate()
    const reportOnce = Effect.suspend(() => {
      const { received, total } = flight
      const speed = rate.measure(clock.currentTimeMillisUnsafe(), received, total)
      return report({
        stage: "download",
        current: received,
        ...(total === undefined ? {} : { total }),
        unit: "bytes",
        ...speed
      })
    })
    const ticking = reportOnce.pipe(Effect.repeat(Schedule.spaced(progressInterval)))
    return Effect.raceFirst(Fiber.join(flight.fiber), Effect.andThen(ticking, Effect.never)).pipe(
      Effect.andThen(reportOnce)
    )
  }

  const adopt = Effect.fnUntraced(function* (id: string, file: string) {
    const manifest = path.join(folder, "files", `${encodeURIComponent(file)}${manifestExtension}`)
    const { size } = yield* Effect.mapError(
      fs.stat(file),
      (error) => new FileNotReadable({ path: file, reason: systemProblem(error) })
    )
    if (yield* isThere(manifest)) return file
    const at = DateTime.formatIso(yield* DateTime.now)
    yield* onDisk(
      Effect.gen(function* () {
        yield* makeFolder(path.dirname(manifest))
        yield* writeManifest(manifest, {
          ids: [id],
          from: id,
          at,
          path: file,
          files: [{ name: path.basename(file), size: Number(size), sha256: null }]
        })
      }),
      manifest
    )
    return file
  })

  const partialFolder = (id: ModelId.ModelId) => {
    if (id._tag === "HuggingFace") return `hf/${id.org}/${id.repo}`
    if (id._tag === "Ollama") return `ollama/${id.name}/${id.tag ?? "latest"}.gguf`
    return undefined
  }

  return Downloads.of({
    discard: Effect.fn("Downloads.discard")(function* (id) {
      const partial = partialFolder(id)
      if (partial === undefined) return false
      const running = [...flights.keys()].some((target) => target.startsWith(path.join(folder, partial)))
      const incoming = path.join(folder, incomingFolder, partial)
      if (running || !(yield* isThere(incoming))) return false
      yield* Effect.ignore(removeWithEmptyParents(incoming))
      return true
    }),
    run: Effect.fn("Downloads.run")(function* (text, narrate, report) {
      const parsed = yield* Effect.fromResult(ModelId.parse(text))
      const id = ModelId.format(parsed)
      if (parsed._tag === "File") return yield* adopt(id, parsed.path)
      yield* narrate("model_find", `Looking for ${id}`)
      const model = yield* sources.resolve(parsed)
      for (const note of model.notes ?? []) yield* narrate("model_note", note)
      const target = targetOf(model, model.files[0])
      if (yield* isThere(target)) {
        yield* updateManifest(id, model, target + manifestExtension)
        yield* narrate("model_ready", `${id} is on this hive already`)
        return target
      }
      const joined = flights.has(target)
      const names = model.files.length === 1 ? model.files[0].name : `${model.files.length} files`
      yield* narrate(
        "model_download",
        joined ? `Joining the download of ${names} that runs` : `Downloading ${names} from ${model.from}`
      )
      yield* Effect.acquireUseRelease(
        startLock.withPermit(joinOrStart(id, model, target)),
        (flight) => (flight === undefined ? Effect.void : follow(flight, report)),
        (flight) => (flight === undefined ? Effect.void : leave(flight))
      )
      yield* updateManifest(id, model, target + manifestExtension)
      yield* narrate("model_ready", `${id} is whole and checked`)
      return target
    })
  })
})
