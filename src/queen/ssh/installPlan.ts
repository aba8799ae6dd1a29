import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { version } from "../../system/Program.ts"
import { InstallBundle } from "./InstallBundle.ts"
import { NodeMissing } from "./installErrors.ts"
import { type FoundNode, isNewEnough, neededNode, type RemoteMachine } from "./RemoteMachine.ts"
import type { SshTarget } from "./SshTarget.ts"
import type { Part } from "./upload.ts"

/** The target state of a machine, and the missing parts in the order of upload. */
export interface InstallPlan {
  /** The program's folder below the machine's programs. */
  readonly program: string
  readonly node: FoundNode
  readonly hasEngine: boolean
  readonly parts: ReadonlyArray<Part>
}

const checksumDigits = 12

/** A function that plans which parts another machine needs. */
export const makePlanner = Effect.gen(function* () {
  const payload = yield* InstallBundle

  const isLikeThis = ({ arch, platform }: RemoteMachine) =>
    platform === process.platform && arch === process.arch

  const carriedNode = ({ data }: RemoteMachine): FoundNode => {
    const name = `node-${process.versions.node}`
    return { version: process.versions.node, file: path.posix.join(data, "program", name, "bin", "node") }
  }

  const nodeFor = Effect.fnUntraced(function* (target: SshTarget, machine: RemoteMachine) {
    const found = machine.nodes.find(({ version }) => isNewEnough(version))
    if (found !== undefined) return { node: found, part: Option.none<Part>() }
    if (!isLikeThis(machine)) {
      return yield* new NodeMissing({
        hive: target.alias,
        found: machine.nodes.map(({ version }) => version),
        needed: neededNode,
        why: `this machine's build is incompatible with ${machine.platform} ${machine.arch}`
      })
    }
    const node = carriedNode(machine)
    const contents = yield* payload.node
    const names = `v${node.version}`
    return { node, part: Option.some<Part>({ kind: "node", contents, name: `node-${node.version}`, names }) }
  })

  const engineFor = Effect.fnUntraced(function* (machine: RemoteMachine) {
    if (machine.engine?.byNpm === true || !isLikeThis(machine)) return Option.none<Part>()
    const here = yield* payload.engine(machine)
    if (Option.isNone(here) || here.value.version === machine.engine?.version) return Option.none<Part>()
    return Option.some<Part>({ kind: "engine", contents: here.value, name: "", names: "" })
  })

  const programFor = Effect.fnUntraced(function* (machine: RemoteMachine) {
    const contents = yield* payload.program
    const name = `${version}-${contents.checksum.slice(0, checksumDigits)}`
    const part: Part = { kind: "program", contents, name, names: `rbee v${version}` }
    return { name, part: machine.programs.includes(name) ? Option.none<Part>() : Option.some(part) }
  })

  return Effect.fn("InstallPlan.plan")(function* (target: SshTarget, machine: RemoteMachine) {
    const node = yield* nodeFor(target, machine)
    const program = yield* programFor(machine)
    const engine = yield* engineFor(machine)
    const parts = [node.part, program.part, engine].flatMap(Option.toArray)
    const hasEngine = machine.engine !== undefined || Option.isSome(engine)
    return { program: program.name, node: node.node, hasEngine, parts } satisfies InstallPlan
  })
})
