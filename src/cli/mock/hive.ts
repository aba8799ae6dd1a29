import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { surviveClosedOutput } from "../daemonOutput.ts"
import { checkHiveId, host } from "../flags.ts"
import { Output } from "../Output.ts"
import { overridesOf } from "../overrides.ts"
import { SharedFlags } from "../SharedFlags.ts"
import { checkNumbers, interval, mockPort, modeFlag, readMode, seed, tokens } from "./flags.ts"

const id = Flag.String("hive-id").pipe(
  Flag.withDescription("Id of the mock hive (default: mock)"),
  Flag.withDefault("mock")
)
const queenUrl = Flag.String("queen-url").pipe(
  Flag.withDescription(
    "URL of the queen that receives its heartbeats (default: the setting, the local queen)"
  ),
  Flag.optional
)
const models = Flag.String("model").pipe(
  Flag.withDescription("Id of a model that it has besides rbee:tiny; repeat for several"),
  Flag.atLeast(0)
)

export const mockHiveCommand = Command.make(
  "hive",
  {
    host,
    port: mockPort(8090),
    id,
    queenUrl,
    models,
    mode: modeFlag("mode", "the hive"),
    workerMode: modeFlag("worker-mode", "each of its workers"),
    seed,
    tokens,
    interval
  },
  Effect.fnUntraced(function* (args) {
    const { interval, port, seed, tokens, workerMode } = args
    yield* checkHiveId(Option.some(args.id))
    yield* checkNumbers({ port, tokens, "interval-ms": interval })
    yield* readMode("worker-mode", workerMode)
    const mode = yield* readMode("mode", args.mode)
    const { tokenFile } = yield* SharedFlags
    const output = yield* Output
    // Imported lazily, so that other commands start without loading the daemon.
    const { serve } = yield* Effect.promise(() => import("../../daemon/Daemon.ts"))
    const { mockHive } = yield* Effect.promise(() => import("../../hive/mock/MockHive.ts"))
    const settings = overridesOf({
      "hive.host": args.host,
      "hive.port": Option.some(port),
      "hive.queen_url": args.queenUrl
    })
    yield* surviveClosedOutput
    const text = ["--seed", String(seed), "--tokens", String(tokens), "--interval-ms", String(interval)]
    const workerFlags = [...text, "--mode", workerMode]
    yield* serve(
      mockHive({ id: args.id, models: args.models, mode, workerFlags, settings, tokenFile }),
      (url) => output.note(`The mock hive listens on ${url}`)
    )
  })
).pipe(
  Command.withDescription(
    "Run a hive without hardware, with faults that can be switched while it runs\n\n" +
      "It is a hive like any other (jobs, heartbeats, inventory), except that its workers are 'rbee mock worker', until\n" +
      "Ctrl+C. Switch its mode with\n" +
      '  curl -X PUT localhost:8090/mock/mode -d \'{"mode":"hang","after":3}\'\n' +
      "and read the mode, with counts of requests and faults, with\n" +
      "  curl localhost:8090/mock/mode\n\n" +
      "Its workers have modes of their own, at their ports ('rbee worker list --hive-id mock')."
  ),
  Command.withShortDescription("Run a mock hive: a hive without hardware, with faults to switch on"),
  Command.withExamples([
    { command: "rbee mock hive --port 8090 --model llama3" },
    { command: "rbee mock hive --hive-id flaky --port 8092 --model llama3 --mode flaky" },
    { command: "rbee mock hive --model llama3 --worker-mode slow" }
  ])
)
