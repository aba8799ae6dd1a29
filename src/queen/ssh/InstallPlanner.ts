import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { version } from "../../system/Program.ts"
import { InstallBundle, type InstallBundleError } from "./InstallBundle.ts"
import { NodeMissing } from "./installErrors.ts"
import { type FoundNode, isSupportedNode, minNodeVersion, type RemoteMachine } from "./RemoteMachine.ts"
import type { SshTarget } from "./SshTarget.ts"
import type { InstallPart } from "./Uploader.ts"

/** The target state of a machine, and the missing parts in the order of upload. */
export interface InstallPlan {
  /** The program's folder below the machine's programs. */
  readonly program: string
  readonly node: FoundNode
  readonly hasEngine: boolean
  readonly parts: ReadonlyArray<InstallPart>
}

/** Plans which parts of an installation another machine needs. */
export class InstallPlanner extends Context.Service<
  InstallPlanner,
  {
    /** Closing the scope removes the files of the planned parts that exist only for the upload. */
    readonly plan: (
      target: SshTarget,
      machine: RemoteMachine
    ) => Effect.Effect<InstallPlan, NodeMissing | InstallBundleError, Scope.Scope>
  }
>()("rbee/queen/ssh/InstallPlanner") {
  static readonly layerNoDeps = Layer.effect(
    InstallPlanner,
    Effect.suspend(() => make)
  )
}

const checksumDigits = 12

/** Whether this machine's Node and engine run on the other machine. */
const isSamePlatform = ({ arch, platform }: RemoteMachine) =>
  platform === process.platform && arch === process.arch

/** This machine's Node, at its place on the other machine. */
const uploadedNode = ({ data }: RemoteMachine): FoundNode => {
  const name = `node-${process.versions.node}`
  return { version: process.versions.node, file: path.posix.join(data, "program", name, "bin", "node") }
}

const make = Effect.gen(function* () {
  const bundle = yield* InstallBundle

  const planNode = Effect.fnUntraced(function* (target: SshTarget, machine: RemoteMachine) {
    const installed = machine.nodes.find(({ version }) => isSupportedNode(version))
    if (installed !== undefined) return { node: installed, part: Option.none<InstallPart>() }
    if (!isSamePlatform(machine)) {
      return yield* new NodeMissing({
        hive: target.alias,
        found: machine.nodes.map(({ version }) => version),
        needed: minNodeVersion,
        why: `this machine's build is incompatible with ${machine.platform} ${machine.arch}`
      })
    }
    const node = uploadedNode(machine)
    const contents = yield* bundle.node
    const part: InstallPart = {
      kind: "node",
      contents,
      name: `node-${node.version}`,
      reportedVersion: `v${node.version}`
    }
    return { node, part: Option.some(part) }
  })

  const planEngine = Effect.fnUntraced(function* (machine: RemoteMachine) {
    if (machine.engine?.byNpm === true || !isSamePlatform(machine)) return Option.none<InstallPart>()
    const engine = yield* bundle.engine(machine)
    if (Option.isNone(engine) || engine.value.version === machine.engine?.version)
      return Option.none<InstallPart>()
    return Option.some<InstallPart>({ kind: "engine", contents: engine.value, name: "", reportedVersion: "" })
  })

  const planProgram = Effect.fnUntraced(function* (machine: RemoteMachine) {
    const contents = yield* bundle.program
    const name = `${version}-${contents.checksum.slice(0, checksumDigits)}`
    const part: InstallPart = { kind: "program", contents, name, reportedVersion: `rbee v${version}` }
    return { name, part: machine.programs.includes(name) ? Option.none<InstallPart>() : Option.some(part) }
  })

  return InstallPlanner.of({
    plan: Effect.fn("InstallPlanner.plan")(function* (target, machine) {
      const node = yield* planNode(target, machine)
      const program = yield* planProgram(machine)
      const engine = yield* planEngine(machine)
      return {
        program: program.name,
        node: node.node,
        hasEngine: machine.engine !== undefined || Option.isSome(engine),
        parts: [node.part, program.part, engine].flatMap(Option.toArray)
      }
    })
  })
})
