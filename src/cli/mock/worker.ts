import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { surviveClosedOutput } from "../daemonOutput.ts"
import { DaemonProblem } from "../errors.ts"
import { Output } from "../Output.ts"
import { checkNumbers, interval, mockPort, modeFlag, readMode, seed, tokens } from "./flags.ts"

const loopback = "127.0.0.1"

const model = Flag.String("model").pipe(
  Flag.withDescription("Id of the model that it serves (default: mock)"),
  Flag.withDefault("mock")
)
const contextSize = Flag.Int("ctx-size").pipe(
  Flag.withDescription("Context length in tokens (default: 8192)"),
  Flag.withDefault(8192)
)
const parallel = Flag.Int("parallel").pipe(
  Flag.withDescription("Slots that it reports (default: 4)"),
  Flag.withDefault(4)
)

export const mockWorkerCommand = Command.make(
  "worker",
  {
    port: mockPort(8091),
    model,
    mode: modeFlag("mode", "the mock"),
    seed,
    tokens,
    interval,
    contextSize,
    parallel
  },
  Effect.fnUntraced(
    function* ({ contextSize, interval, mode, model, parallel, port, seed, tokens }) {
      yield* checkNumbers({ port, tokens, "interval-ms": interval, "ctx-size": contextSize, parallel })
      const output = yield* Output
      const initial = yield* readMode("mode", mode)
      // Imported lazily, so that other commands start without loading the server.
      const { checkPort } = yield* Effect.promise(() => import("../../daemon/Daemon.ts"))
      const { mockWorker } = yield* Effect.promise(() => import("../../worker/mock/MockWorker.ts"))
      yield* checkPort({ host: loopback, port })
      yield* surviveClosedOutput
      const worker = mockWorker({
        host: loopback,
        port,
        model,
        mode: initial,
        seed,
        tokens,
        intervalMs: interval,
        contextSize,
        slots: parallel
      })
      yield* Layer.build(worker)
      yield* output.note(`The mock worker listens on http://${loopback}:${port}`)
      return yield* Effect.never
    },
    Effect.scoped,
    Effect.catchTag("ServeError", ({ message }) => Effect.fail(new DaemonProblem({ message })))
  )
).pipe(
  Command.withDescription(
    "Run an OpenAI-compatible server without a model, with faults that can be switched while it runs\n\n" +
      "It answers every prompt with a text that --seed decides, on loopback, until Ctrl+C. Switch its mode with\n" +
      '  curl -X PUT localhost:8091/mock/mode -d \'{"mode":"drop","after":5}\'\n' +
      "and read the mode, with counts of requests and faults, with\n" +
      "  curl localhost:8091/mock/mode\n\n" +
      "A hive runs it as an engine of config.toml:\n" +
      "  [engines.mock]\n" +
      '  command = ["rbee", "mock", "worker", "--port", "{port}", "--model", "{model_id}"]'
  ),
  Command.withShortDescription("Run a mock worker: an OpenAI-compatible server with faults to switch on"),
  Command.withExamples([
    { command: "rbee mock worker --port 8091 --model test" },
    { command: "rbee mock worker --mode flaky --seed 7" },
    { command: `rbee mock worker --mode '{"mode":"drop","after":5}' --interval-ms 100` }
  ])
)
