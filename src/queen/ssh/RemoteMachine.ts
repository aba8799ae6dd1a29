import type { ScriptOutput } from "./ScriptOutput.ts"

/** An installed Node: its version without the `v`, and its file. */
export interface FoundNode {
  readonly version: string
  readonly file: string
}

/** A machine as reported by the probe script. */
export interface RemoteMachine {
  /** As in npm manifests: `linux` or `darwin`; `linux-musl` is distinct. */
  readonly platform: string
  readonly arch: string
  readonly backends: ReadonlyArray<string>
  /** The folder of rbee's programs and models. */
  readonly data: string
  readonly nodes: ReadonlyArray<FoundNode>
  /** The folders of complete programs. */
  readonly programs: ReadonlyArray<string>
  /** The version of the llama engine, and whether npm installed it; then rbee does not replace it. */
  readonly engine: { readonly version: string; readonly byNpm: boolean } | undefined
  /** Infinite when unknown. */
  readonly freeBytes: number
}

const systems: Readonly<Record<string, string>> = { Linux: "linux", Darwin: "darwin" }
const machines: Readonly<Record<string, string>> = {
  x86_64: "x64",
  amd64: "x64",
  aarch64: "arm64",
  arm64: "arm64"
}

/** The oldest Node that runs rbee, as in package.json. */
export const minNodeVersion = "22.19"

/** Whether rbee runs on this version of Node. */
export const isSupportedNode = (version: string) => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  const [neededMajor = 0, neededMinor = 0] = minNodeVersion.split(".").map(Number)
  return major > neededMajor || (major === neededMajor && minor >= neededMinor)
}

/** The output of `uname` of an unsupported platform. */
export interface UnsupportedPlatform {
  readonly unknown: string
}

/** Reads the output of the probe script; an unsupported platform gives `UnsupportedPlatform`. */
export const machineFrom = (output: ScriptOutput, data: string): RemoteMachine | UnsupportedPlatform => {
  const system = output.first("system") ?? ""
  const machine = output.first("machine") ?? ""
  const platform = systems[system]
  const arch = machines[machine]
  if (platform === undefined || arch === undefined) return { unknown: `${system} ${machine}`.trim() }
  const engine = output.first("engine")
  return {
    platform: output.first("libc") === "musl" ? `${platform}-musl` : platform,
    arch,
    backends: output.all("backend"),
    data,
    nodes: output.all("node").flatMap((line) => {
      const [, version, file] = /^v(\d+\.\d+\.\d+)\S* (\/.*)$/.exec(line) ?? []
      return version === undefined || file === undefined ? [] : [{ version, file }]
    }),
    programs: output.all("program"),
    engine:
      engine === undefined ? undefined : { version: engine, byNpm: output.first("engine_by") === "npm" },
    freeBytes: Number(output.first("free") ?? Number.POSITIVE_INFINITY) * 1024
  }
}
