import { Effect, Option } from "effect"
import { type GatewayRequest, publicModels, type ServedModel } from "../../src/gateway/upstream/Upstream.ts"
import { JobEvent, type LoggedEvent, readNarration } from "../../src/job/log/JobEvent.ts"
import type { Emit, RunningJob } from "../../src/job/Submission.ts"
import type { HiveInventory } from "../../src/operation/Inventory.ts"
import type { HiveSnapshot } from "../../src/queen/scheduler/HiveSnapshot.ts"
import { storedModel } from "./gateway.ts"

/** A model with 2048 tokens of context as the longest, of which the hive `atlas` has the file. */
export const servedModel = (id = "rbee:tiny"): ServedModel => {
  const [model] = publicModels(
    [{ hive: "atlas", models: [{ ...storedModel(id), context_length: 2048 }] }],
    {}
  )
  if (model === undefined) throw new Error("one stored model is one public model")
  return model
}

/** A streamed chat request of an application. */
export const chatRequest = (changes: Partial<GatewayRequest> = {}): GatewayRequest => ({
  model: servedModel(),
  api: "chat/completions",
  body: { messages: [{ role: "user", content: "Hi" }] },
  prompt: "Hi",
  key: "",
  priority: 0,
  isStreamed: true,
  onRestarted: () => {},
  onPlaced: () => {},
  ...changes
})

/** A chunk of an answer with this text. */
export const textChunk = (content: string) =>
  new JobEvent("chunk", JSON.stringify({ choices: [{ index: 0, finish_reason: null, delta: { content } }] }))

/** The last chunk of an answer. */
export const finishChunk = new JobEvent(
  "chunk",
  JSON.stringify({ choices: [{ index: 0, finish_reason: "stop", delta: {} }] })
)

/** A job whose log is an array. */
export const recordedJob = () => {
  const log: Array<LoggedEvent> = []
  const emit: Emit = (events) =>
    Effect.sync(() => {
      for (const { id, json, kind } of events) log.push({ id: id ?? log.length + 1, kind, json })
    })
  const job: RunningJob = {
    id: "job-1",
    runsAt: () => Effect.succeed({ isLeftRunning: () => false, unconfirmed: () => {} }),
    readEvents: Effect.sync(() => [...log])
  }
  /** The narration so far, as `action: sentence`. */
  const narrated = () =>
    log
      .flatMap(({ json, kind }) => (kind === "narration" ? Option.toArray(readNarration(json)) : []))
      .map(({ action, message }) => `${action}: ${message}`)
  return { emit, job, log, narrated }
}

/** A hive's answer to the request for its inventory. */
export const snapshot = (
  hive: string,
  inventory: Partial<HiveInventory> = {},
  away?: string
): HiveSnapshot => ({
  hive,
  inventory: { devices: [], models: [], workers: [], ...inventory },
  ...(away === undefined ? {} : { away })
})

/** A device of an inventory with this memory, in bytes. */
export const device = (
  device_type: "cpu" | "gpu",
  total_bytes: number,
  usable = true
): HiveInventory["devices"][number] => ({
  id: `${device_type.toUpperCase()}-0`,
  name: device_type,
  device_type,
  total_bytes,
  free_bytes: total_bytes,
  usable
})

/** A ready worker of an inventory. */
export const listedWorker = (
  worker_id: string,
  model_id = "rbee:tiny"
): HiveInventory["workers"][number] => ({
  worker_id,
  state: "ready",
  model_id,
  engine: "llama",
  device: "cpu-0",
  slots: 1,
  busy: 0,
  context_size: 512,
  memory_bytes: 1
})
