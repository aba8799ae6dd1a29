import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import { WorkerSpawn } from "../../operation/workerOperations.ts"
import { hiveIdOrAuto, model } from "../flags.ts"
import { runArguments } from "../operationCommand.ts"

const worker = Flag.String("worker").pipe(
  Flag.withDescription(
    "Kind (cpu, cuda, metal, vulkan, rocm), device such as gpu-0, engine name, or auto (default: auto)"
  ),
  Flag.withDefault("auto")
)
const device = Flag.Int("device").pipe(
  Flag.withDescription("Device index (default: the index in --worker, else chosen by the hive)"),
  Flag.optional
)
const ctxSize = Flag.Int("ctx-size").pipe(
  Flag.withDescription("Context length of a request, in tokens (default: the hive's setting)"),
  Flag.optional
)
const parallel = Flag.Int("parallel").pipe(
  Flag.withDescription("Number of concurrent requests (default: the hive's setting)"),
  Flag.optional
)

export const workerSpawn = Command.make(
  "spawn",
  { model, worker, device, ctxSize, parallel, hiveId: hiveIdOrAuto },
  (args) =>
    runArguments(WorkerSpawn, {
      hive_id: args.hiveId,
      model: args.model,
      worker: args.worker,
      device: Option.getOrUndefined(args.device),
      ctx_size: Option.getOrUndefined(args.ctxSize),
      parallel: Option.getOrUndefined(args.parallel)
    })
).pipe(
  Command.withDescription("Start a worker with a model; returns when the worker is ready"),
  Command.withExamples([
    { command: "rbee worker spawn --model rbee:tiny --worker cpu" },
    { command: "rbee worker spawn --model hf:org/repo:Q4_K_M --worker gpu-0 --ctx-size 8192 --parallel 2" }
  ])
)
