#!/usr/bin/env node
import module from "node:module"

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`❌ Error: rbee needs Node 22.19 or newer; this is ${process.versions.node}\n`)
  process.exit(1)
}

// Most of a short command's time would go into compiling the bundle.
module.enableCompileCache()
const { run } = await import("./cli.ts")
run(process.argv.slice(2))
