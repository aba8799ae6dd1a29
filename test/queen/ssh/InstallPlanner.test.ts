import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { InstallBundle } from "../../../src/queen/ssh/InstallBundle.ts"
import { NodeMissing } from "../../../src/queen/ssh/installErrors.ts"
import { InstallPlanner } from "../../../src/queen/ssh/InstallPlanner.ts"
import type { RemoteMachine } from "../../../src/queen/ssh/RemoteMachine.ts"
import { version } from "../../../src/system/Program.ts"

const files = { root: "/here", files: ["a"], bytes: 7 }
const programFiles = { ...files, checksum: "0123456789abcdef" }
const engineFiles = { ...files, version: "3.21.1" }
const program = `${version}-0123456789ab`
const node = process.versions.node

const bundle = (engine: Option.Option<string>) =>
  Layer.mock(InstallBundle)({
    program: Effect.succeed(programFiles),
    node: Effect.succeed(files),
    engine: () => Effect.succeed(Option.map(engine, (version) => ({ ...files, version })))
  })

const target = { alias: "atlas", hostName: "10.0.0.7", port: 22, user: "me" }

const machine = (changes: Partial<RemoteMachine> = {}): RemoteMachine => ({
  platform: process.platform,
  arch: process.arch,
  backends: [],
  data: "/data",
  nodes: [],
  programs: [],
  engine: undefined,
  freeBytes: Number.POSITIVE_INFINITY,
  ...changes
})

const plan = (changes: Partial<RemoteMachine>, engine: Option.Option<string> = Option.some("3.21.1")) =>
  InstallPlanner.use((planner) => planner.plan(target, machine(changes))).pipe(
    Effect.provide(Layer.provide(InstallPlanner.layerNoDeps, bundle(engine))),
    Effect.scoped
  )

const kindsOf = ({ parts }: { readonly parts: ReadonlyArray<{ readonly kind: string }> }) =>
  parts.map(({ kind }) => kind)

describe("InstallPlanner", () => {
  it.effect("plans all parts for a machine with nothing, Node first because it runs the program", () =>
    Effect.gen(function* () {
      const planned = yield* plan({})
      assert.deepStrictEqual(planned, {
        program,
        node: { version: node, file: `/data/program/node-${node}/bin/node` },
        hasEngine: true,
        parts: [
          { kind: "node", contents: files, name: `node-${node}`, reportedVersion: `v${node}` },
          {
            kind: "program",
            contents: programFiles,
            name: program,
            reportedVersion: `rbee v${version}`
          },
          { kind: "engine", contents: engineFiles, name: "", reportedVersion: "" }
        ]
      })
    })
  )

  it.effect("plans no part that the machine has: its first new enough Node, this build, this engine", () =>
    Effect.gen(function* () {
      const old = { version: "20.1.0", file: "/old" }
      const planned = yield* plan({
        nodes: [old, { version: "24.0.0", file: "/new" }],
        programs: ["0.0.1-old", program],
        engine: { version: "3.21.1", byNpm: false }
      })
      assert.deepStrictEqual(planned, {
        program,
        node: { version: "24.0.0", file: "/new" },
        hasEngine: true,
        parts: []
      })
    })
  )

  it.effect("replaces an engine of another version, but not one that npm installed", () =>
    Effect.gen(function* () {
      const nodes = [{ version: "24.0.0", file: "/new" }]
      const programs = [program]
      const older = yield* plan({ nodes, programs, engine: { version: "3.0.0", byNpm: false } })
      assert.deepStrictEqual(kindsOf(older), ["engine"])
      const byNpm = yield* plan({ nodes, programs, engine: { version: "3.0.0", byNpm: true } })
      assert.deepStrictEqual([kindsOf(byNpm), byNpm.hasEngine], [[], true])
    })
  )

  it.effect("reports a machine without an engine when this machine has none either", () =>
    Effect.gen(function* () {
      const planned = yield* plan({}, Option.none())
      assert.deepStrictEqual([kindsOf(planned), planned.hasEngine], [["node", "program"], false])
    })
  )

  it.effect("plans only the program for a machine of another platform, which needs a Node of its own", () =>
    Effect.gen(function* () {
      const other = { platform: "plan9", arch: "x64" }
      const planned = yield* plan({ ...other, nodes: [{ version: "24.0.0", file: "/new" }] })
      assert.deepStrictEqual([kindsOf(planned), planned.hasEngine], [["program"], false])
      const error = yield* Effect.flip(plan({ ...other, nodes: [{ version: "18.2.0", file: "/old" }] }))
      assert.deepStrictEqual(
        error,
        new NodeMissing({
          hive: "atlas",
          found: ["18.2.0"],
          needed: "22.19",
          why: "this machine's build is incompatible with plan9 x64"
        })
      )
    })
  )
})
