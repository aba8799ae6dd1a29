import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import { WorkerSpawn } from "../../operation/workerOperations.ts"
import { hiveId, model } from "../flags.ts"
import { runTyped } from "../operationCommand.ts"

const worker = Flag.String("worker").pipe(
  Flag.withDescription(
    "A kind (cpu, cuda, metal, vulkan, rocm), a device such as gpu-0, an engine's name, or auto"
  ),
  Flag.withDefault("auto")
)
const device = Flag.Int("device").pipe(
  Flag.withDescription("Device index (default: the index in --worker, else chosen by the hive)"),
  Flag.optional
)
const ctxSize = Flag.Int("ctx-size").pipe(
  Flag.withDescription("The context length of a request, in tokens"),
  Flag.optional
)
const parallel = Flag.Int("parallel").pipe(
  Flag.withDescription("Requests that are worked on at the same time"),
  Flag.optional
)

export const workerSpawn = Command.make(
  "spawn",
  { model, worker, device, ctxSize, parallel, hiveId },
  (typed) =>
    runTyped(WorkerSpawn, {
      hive_id: typed.hiveId,
      model: typed.model,
      worker: typed.worker,
      device: Option.getOrUndefined(typed.device),
      ctx_size: Option.getOrUndefined(typed.ctxSize),
      parallel: Option.getOrUndefined(typed.parallel)
    })
).pipe(
  Command.withDescription("Start a worker with a model; returns when it answers"),
  Command.withExamples([
    { command: "rbee worker spawn --model rbee:tiny --worker cpu" },
    { command: "rbee worker spawn --model hf:org/repo:Q4_K_M --worker gpu-0 --ctx-size 8192 --parallel 2" }
  ])
)
