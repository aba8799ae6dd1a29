import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import type { Say, TellProgress } from "../../job/narrated.ts"
import * as ModelId from "../ModelId.ts"
import type { DownloadError, FetchError } from "./errors.ts"
import { FileNotWritable } from "./errors.ts"
import {
  incomingFolder,
  ManifestFile,
  manifestExtension,
  type ModelManifest,
  readManifest,
  writeManifest
} from "./ModelManifest.ts"
import { ModelSources } from "./ModelSources.ts"
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
    readonly run: (id: string, say: Say, tell: TellProgress) => Effect.Effect<string, DownloadFailure>
    /** Removes what has come of the model, if no download of it runs; false when there was nothing. */
    readonly discard: (id: ModelId.ModelId) => Effect.Effect<boolean>
  }
>()("rbee/hive/download/Downloads") {
  /** Into this folder. */
  static readonly layerNoDeps = (folder: string) => Layer.effect(Downloads, make(folder))
}

interface Flight {
  /** Who waits for it. */
  followers: number
  received: number
  readonly total: number | undefined
  readonly fiber: Fiber.Fiber<void, DownloadError>
}

const tellEvery = "500 millis"

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
  const flights = new Map<string, Flight>()
  // One at a time looks whether a download runs: two of one model would write into each other's files.
  const boarding = yield* Semaphore.make(1)

  const onDisk = <A>(
    effect: Effect.Effect<A, PlatformError.PlatformError, FileSystem.FileSystem>,
    where: string
  ) =>
    effect.pipe(
      Effect.provideService(FileSystem.FileSystem, fs),
      Effect.mapError(({ reason }) => new FileNotWritable({ path: where, reason: reason._tag }))
    )

  const targetOf = (model: RemoteModel, file: RemoteFile) => path.join(folder, model.folder, file.name)

  /** Fetches a file into the incoming folder, unless it is there already, whole. */
  const fetchFile = Effect.fnUntraced(function* (
    model: RemoteModel,
    file: RemoteFile,
    report: (received: number) => void
  ) {
    const incoming = path.join(folder, incomingFolder, model.folder, file.name)
    const whole = path.join(incoming, "whole")
    const facts = path.join(incoming, "whole.json")
    const fetched = decodeFetched(yield* Effect.orElseSucceed(fs.readFileString(facts), () => ""))
    if (fetched._tag === "Some" && (file.sha256 ?? fetched.value.sha256) === fetched.value.sha256) {
      const there = yield* Effect.orElseSucceed(fs.exists(whole), () => false)
      if (there) {
        report(fetched.value.size)
        return { fetched: fetched.value, incoming, whole }
      }
    }
    const got = yield* transfer.fetch(file, whole, path.join(incoming, "parts"), (received) =>
      Effect.sync(() => report(received))
    )
    const found: ManifestFile = { name: file.name, ...got }
    yield* onDisk(fs.writeFileString(facts, encodeFetched(found)), facts)
    return { fetched: found, incoming, whole }
  })

  /** Fetches the files of a model and shows them when all are whole: the first, by which it is found, last. */
  const bring = Effect.fnUntraced(function* (
    id: string,
    model: RemoteModel,
    report: (received: number) => void
  ) {
    const received = new Map<string, number>()
    const arrived: Array<{ fetched: ManifestFile; incoming: string; whole: string; target: string }> = []
    for (const file of model.files) {
      const got = yield* fetchFile(model, file, (bytes) => {
        received.set(file.name, bytes)
        report([...received.values()].reduce((sum, count) => sum + count, 0))
      })
      arrived.push({ ...got, target: targetOf(model, file) })
    }
    const first = targetOf(model, model.files[0])
    const at = DateTime.formatIso(yield* DateTime.now)
    yield* onDisk(
      Effect.gen(function* () {
        for (const { target, whole } of arrived.toReversed()) {
          yield* fs.makeDirectory(path.dirname(target), { recursive: true })
          if (target === first) {
            const files = arrived.map(({ fetched }) => fetched)
            yield* writeManifest(first + manifestExtension, { ids: [id], from: model.from, at, files })
          }
          yield* fs.rename(whole, target)
        }
        for (const { incoming } of arrived) yield* removeWithEmptyParents(incoming)
      }),
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

  /** The model is there already: it is found under this id too from now on. */
  const alsoKnownAs = Effect.fnUntraced(function* (id: string, file: string) {
    const found = yield* Effect.provideService(readManifest(file), FileSystem.FileSystem, fs)
    if (found._tag === "None" || found.value.ids.includes(id)) return
    const manifest: ModelManifest = { ...found.value, ids: [...found.value.ids, id] }
    yield* onDisk(writeManifest(file, manifest), file)
  })

  const flightOf = Effect.fnUntraced(function* (id: string, model: RemoteModel, key: string) {
    const running = flights.get(key)
    if (running !== undefined) return running
    const state = { received: 0 }
    const fiber: Fiber.Fiber<void, DownloadError> = yield* bring(id, model, (received) => {
      state.received = received
    }).pipe(Effect.ensuring(Effect.sync(() => flights.delete(key))), Effect.forkIn(scope))
    const flight: Flight = {
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

  // Who asks for the model while the last one leaves begins a download of its own, when this one has ended.
  const leave = (flight: Flight) =>
    boarding.withPermit(
      Effect.suspend(() => {
        flight.followers--
        return flight.followers === 0 ? Fiber.interrupt(flight.fiber) : Effect.void
      })
    )

  const follow = (flight: Flight, tell: TellProgress) => {
    const rate = new Rate()
    const tellOnce = Effect.suspend(() => {
      const { received, total } = flight
      const speed = rate.measure(clock.currentTimeMillisUnsafe(), received, total)
      return tell({
        stage: "download",
        current: received,
        ...(total === undefined ? {} : { total }),
        unit: "bytes",
        ...speed
      })
    })
    const ticking = tellOnce.pipe(Effect.repeat(Schedule.spaced(tellEvery)))
    return Effect.raceFirst(Fiber.join(flight.fiber), Effect.andThen(ticking, Effect.never)).pipe(
      Effect.andThen(tellOnce)
    )
  }

  const adopt = Effect.fnUntraced(function* (id: string, file: string) {
    const manifest = path.join(folder, "files", `${encodeURIComponent(file)}${manifestExtension}`)
    const known = yield* Effect.orElseSucceed(fs.exists(manifest), () => false)
    if (known) return file
    const at = DateTime.formatIso(yield* DateTime.now)
    yield* onDisk(
      Effect.gen(function* () {
        const { size } = yield* fs.stat(file)
        yield* fs.makeDirectory(path.dirname(manifest), { recursive: true })
        yield* writeManifest(manifest, {
          ids: [id],
          from: id,
          at,
          path: file,
          files: [{ name: path.basename(file), size: Number(size), sha256: null }]
        })
      }),
      file
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
      if (running || !(yield* Effect.orElseSucceed(fs.exists(incoming), () => false))) return false
      yield* Effect.ignore(removeWithEmptyParents(incoming))
      return true
    }),
    run: Effect.fn("Downloads.run")(function* (text, say, tell) {
      const parsed = yield* Effect.fromResult(ModelId.parse(text))
      const id = ModelId.format(parsed)
      if (parsed._tag === "File") return yield* adopt(id, parsed.path)
      yield* say("model_find", `Looking for ${id}`)
      const model = yield* sources.resolve(parsed)
      const target = targetOf(model, model.files[0])
      if (yield* Effect.orElseSucceed(fs.exists(target), () => false)) {
        yield* alsoKnownAs(id, target + manifestExtension)
        yield* say("model_ready", `${id} is on this hive already`)
        return target
      }
      const joined = flights.has(target)
      const names = model.files.length === 1 ? model.files[0].name : `${model.files.length} files`
      yield* say(
        "model_download",
        joined ? `Joining the download of ${names} that runs` : `Downloading ${names} from ${model.from}`
      )
      yield* Effect.acquireUseRelease(
        boarding.withPermit(
          Effect.tap(flightOf(id, model, target), (flight) =>
            Effect.sync(() => {
              flight.followers++
            })
          )
        ),
        (flight) => follow(flight, tell),
        leave
      )
      yield* alsoKnownAs(id, target + manifestExtension)
      yield* say("model_ready", `${id} is whole and checked`)
      return target
    })
  })
})
