import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { WorkerSpawn } from "../../operation/Operation.ts"
import { hiveId, model } from "../flags.ts"
import { runTyped } from "../operationCommand.ts"

const worker = Flag.String("worker").pipe(
  Flag.withDescription("A kind (cpu, cuda, metal, vulkan, rocm), a device such as gpu-0, or auto"),
  Flag.withDefault("auto")
)
const device = Flag.Int("device").pipe(Flag.withDescription("The index of the device"), Flag.withDefault(0))

export const workerSpawn = Command.make("spawn", { model, worker, device, hiveId }, (typed) =>
  runTyped(WorkerSpawn, {
    hive_id: typed.hiveId,
    model: typed.model,
    worker: typed.worker,
    device: typed.device
  })
).pipe(
  Command.withDescription("Start a worker with a model; returns when it answers"),
  Command.withExamples([{ command: "rbee worker spawn --model rbee:tiny --worker cpu" }])
)
