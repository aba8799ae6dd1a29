import * as ChildProcess from "effect/process/ChildProcess"
import { type DeviceTool, type Gpu, report, runOptions, sanitized } from "./DeviceTool.ts"

const maxGpus = 256
const maxRow = 1000
const mebi = 1024 * 1024

/** The tool of NVIDIA's driver. It numbers GPUs in bus order, and reports memory in MiB. */
export const nvidiaSmi: DeviceTool = {
  name: "nvidia-smi",
  command: ChildProcess.make(
    "nvidia-smi",
    ["--query-gpu=index,name,memory.total,memory.free,compute_cap", "--format=csv,noheader,nounits"],
    runOptions
  ),
  parse: (output) =>
    report(
      output
        .split(/\r?\n/)
        .filter((line) => line.trim() !== "")
        .slice(0, maxGpus)
        .map((line) => readRow(line) ?? `row '${sanitized(line, 120)}'`)
    )
}

// A name may contain commas; the other four fields do not.
const row = /^\s*(\d{1,4})\s*,\s*(.*\S)\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\S.*?)\s*$/

const readRow = (line: string): Gpu | undefined => {
  // The pattern takes very long on a longer line.
  if (line.length > maxRow) return undefined
  const [, index, name, total, free, capability = ""] = row.exec(line) ?? []
  if (name === undefined || Number(total) === 0 || Number(free) > Number(total)) return undefined
  return {
    backend: "cuda",
    index: Number(index),
    name: sanitized(name, 200),
    totalBytes: Number(total) * mebi,
    freeBytes: Number(free) * mebi,
    computeCapability: /^\d{1,3}\.\d{1,3}$/.test(capability) ? capability : null
  }
}
