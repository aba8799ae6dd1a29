import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { EngineFailed } from "./errors.ts"
import { type LlamaPackage, loadLlamaPackage } from "./LlamaPackage.ts"

/** A GPU that the engine can use. Both sizes are 0 when the engine does not report them per device. */
interface ListedDevice {
  readonly name: string
  readonly backend: "vulkan" | "metal"
  readonly total_bytes: number
  readonly free_bytes: number
}

// The caller waits two seconds, which include the start of this process.
const limit = "1700 millis"

const find = async ({ llama }: LlamaPackage): Promise<ReadonlyArray<ListedDevice>> => {
  const backend = process.platform === "darwin" ? "metal" : "vulkan"
  const engine = await llama.getLlama({
    gpu: backend,
    build: "never",
    skipDownload: true,
    progressLogs: false,
    logLevel: llama.LlamaLogLevel.error
  })
  if (engine.gpu !== backend) throw new Error(`it has no backend for ${backend}`)
  const names = await engine.getGpuDeviceNames()
  // `getVramState` returns the sum over all devices, so sizes are known only for a single device.
  const { free, total } = names.length === 1 ? await engine.getVramState() : { free: 0, total: 0 }
  return names.map((name) => ({ name, backend, total_bytes: total, free_bytes: free }))
}

/**
 * Prints the GPUs that the engine can use through Vulkan or Metal as one line of JSON,
 * `{"devices":[{"name","backend","total_bytes","free_bytes"}]}`. Takes less than 2 seconds and never fails: after an engine
 * error the list is empty, and stderr has the reason.
 */
export const printDevices = Effect.fn("printDevices")(function* (engineDir: string | undefined) {
  const devices = yield* loadLlamaPackage(engineDir).pipe(
    Effect.flatMap((packages) =>
      Effect.tryPromise({
        try: () => find(packages),
        catch: (cause) =>
          new EngineFailed({
            reason: `The llama engine lists no GPU: ${cause instanceof Error ? cause.message : String(cause)}`
          })
      })
    ),
    Effect.timeoutOrElse({
      duration: limit,
      orElse: () =>
        Effect.fail(new EngineFailed({ reason: `The llama engine did not answer within ${limit}` }))
    }),
    Effect.catch(({ message }) => Effect.as(Console.error(message), []))
  )
  yield* Console.log(JSON.stringify({ devices }))
})
