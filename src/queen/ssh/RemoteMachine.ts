import type { ScriptOutput } from "./ScriptOutput.ts"

/** A Node that was found: its version without the `v`, and its file. */
export interface FoundNode {
  readonly version: string
  readonly file: string
}

/** A machine as the probing script found it. */
export interface RemoteMachine {
  /** As npm's manifests have it: `linux`, `darwin`; `linux-musl` is neither. */
  readonly platform: string
  readonly arch: string
  readonly backends: ReadonlyArray<string>
  /** The folder of rbee's programs and models. */
  readonly data: string
  readonly nodes: ReadonlyArray<FoundNode>
  /** The folders of programs that are whole. */
  readonly programs: ReadonlyArray<string>
  /** The version of the llama engine, and whether npm put it there: then it is not ours to replace. */
  readonly engine: { readonly version: string; readonly byNpm: boolean } | undefined
  /** Infinite when the machine does not say. */
  readonly freeBytes: number
}

const systems: Readonly<Record<string, string>> = { Linux: "linux", Darwin: "darwin" }
const machines: Readonly<Record<string, string>> = {
  x86_64: "x64",
  amd64: "x64",
  aarch64: "arm64",
  arm64: "arm64"
}

/** The oldest Node that runs rbee, as in its manifest. */
export const neededNode = "22.19"

/** Whether rbee runs on this version of Node. */
export const isNewEnough = (version: string) => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  const [neededMajor = 0, neededMinor = 0] = neededNode.split(".").map(Number)
  return major > neededMajor || (major === neededMajor && minor >= neededMinor)
}

/** What `uname` said, when rbee does not run on such a machine. */
export interface Unknown {
  readonly unknown: string
}

/** Reads the answers of the probing script; gives what `uname` said when rbee does not run on such a machine. */
export const machineFrom = (said: ScriptOutput, data: string): RemoteMachine | Unknown => {
  const system = said.first("system") ?? ""
  const machine = said.first("machine") ?? ""
  const platform = systems[system]
  const arch = machines[machine]
  if (platform === undefined || arch === undefined) return { unknown: `${system} ${machine}`.trim() }
  const engine = said.first("engine")
  return {
    platform: said.first("libc") === "musl" ? `${platform}-musl` : platform,
    arch,
    backends: said.all("backend"),
    data,
    nodes: said.all("node").flatMap((line) => {
      const [, version, file] = /^v(\d+\.\d+\.\d+)\S* (\/.*)$/.exec(line) ?? []
      return version === undefined || file === undefined ? [] : [{ version, file }]
    }),
    programs: said.all("program"),
    engine: engine === undefined ? undefined : { version: engine, byNpm: said.first("engine_by") === "npm" },
    freeBytes: Number(said.first("free") ?? Number.POSITIVE_INFINITY) * 1024
  }
}
