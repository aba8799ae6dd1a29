import { assert, describe, it } from "@effect/vitest"
import { isSupportedNode, machineFrom } from "../../../src/queen/ssh/RemoteMachine.ts"
import { parseScriptOutput } from "../../../src/queen/ssh/ScriptOutput.ts"

const machine = (...lines: ReadonlyArray<string>) =>
  machineFrom(parseScriptOutput(lines.map((line) => `rbee:${line}`).join("\n")), "/data")

const linux = ["system Linux", "machine x86_64"]

describe("isSupportedNode", () => {
  it("compares major and minor versions as numbers", () => {
    for (const version of ["22.19.0", "22.20.1", "24.0.0", "100.1.0"])
      assert.isTrue(isSupportedNode(version), version)
    for (const version of ["22.18.9", "22.3.0", "9.99.0", "20.19.0"])
      assert.isFalse(isSupportedNode(version), version)
  })
})

describe("machineFrom", () => {
  it("reads a complete report", () => {
    assert.deepStrictEqual(
      machine(
        ...linux,
        "backend cuda",
        "node v24.1.0 /usr/bin/node",
        "node v22.19.0-nightly /opt/my node",
        "program 1.0.0-abc",
        "engine 3.21.1",
        "engine_by npm",
        "free 1000"
      ),
      {
        platform: "linux",
        arch: "x64",
        backends: ["cuda"],
        data: "/data",
        nodes: [
          { version: "24.1.0", file: "/usr/bin/node" },
          { version: "22.19.0", file: "/opt/my node" }
        ],
        programs: ["1.0.0-abc"],
        engine: { version: "3.21.1", byNpm: true },
        freeBytes: 1_024_000
      }
    )
  })

  it("reads a machine on which nothing is installed; unknown free space is infinite", () => {
    assert.deepStrictEqual(machine("system Darwin", "machine arm64"), {
      platform: "darwin",
      arch: "arm64",
      backends: [],
      data: "/data",
      nodes: [],
      programs: [],
      engine: undefined,
      freeBytes: Number.POSITIVE_INFINITY
    })
  })

  it("tells musl from other Linux machines, and an engine that rbee installed from npm's", () => {
    const musl = machine(...linux, "libc musl", "engine 3.0.0")
    assert.isTrue("platform" in musl && musl.platform === "linux-musl" && musl.engine?.byNpm === false)
  })

  it("skips a node that reports no version", () => {
    const broken = machine(...linux, "node  /usr/bin/node", "node v24 /b", "node v24.1.0 relative")
    assert.isTrue("nodes" in broken && broken.nodes.length === 0)
  })

  it("names an unsupported platform as the machine does", () => {
    assert.deepStrictEqual(machine("system FreeBSD", "machine amd64"), { unknown: "FreeBSD amd64" })
    assert.deepStrictEqual(machine("system Linux", "machine riscv64"), { unknown: "Linux riscv64" })
    assert.deepStrictEqual(machine(), { unknown: "" })
  })
})
