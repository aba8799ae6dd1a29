#!/usr/bin/env node
import module from "node:module"

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`❌ Error: rbee requires Node 22.19 or newer; found ${process.versions.node}\n`)
  process.exit(1)
}

// Without the cache, compiling the bundle takes most of a short command's time.
module.enableCompileCache()
const { run } = await import("./cli.ts")
run(process.argv.slice(2))
