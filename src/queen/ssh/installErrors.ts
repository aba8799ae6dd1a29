import * as Schema from "effect/Schema"
import { HiveTokenError } from "../../hives/HiveTokens.ts"
import { InstallBundleError } from "./InstallBundle.ts"
import { UnexpectedScriptOutput } from "./ScriptOutput.ts"
import { SshError } from "./SshErrors.ts"

/** rbee does not support the platform that `uname` reports. */
export class UnknownPlatform extends Schema.TaggedError<UnknownPlatform>()("UnknownPlatform", {
  hive: Schema.String,
  platform: Schema.String
}) {
  override get message() {
    return `Machine '${this.hive}' is ${this.platform}; rbee runs on Linux and macOS, on x64 and arm64`
  }
}

/** The machine has no suitable Node, and this machine's build is incompatible. */
export class NodeMissing extends Schema.TaggedError<NodeMissing>()("NodeMissing", {
  hive: Schema.String,
  found: Schema.Array(Schema.String),
  needed: Schema.String,
  why: Schema.String
}) {
  override get message() {
    const found = this.found.length === 0 ? "has no Node" : `has only Node ${this.found.join(", ")}`
    return `Machine '${this.hive}' ${found}, and ${this.why}; install Node ${this.needed} or newer there`
  }
}

/** The disk of the machine has too little free space. */
export class NoSpace extends Schema.TaggedError<NoSpace>()("NoSpace", {
  hive: Schema.String,
  folder: Schema.String,
  freeBytes: Schema.Finite,
  neededBytes: Schema.Finite
}) {
  override get message() {
    const mega = (bytes: number) => `${Math.ceil(bytes / 1_000_000)} MB`
    return `Machine '${this.hive}' has ${mega(this.freeBytes)} free at ${this.folder}, ${mega(this.neededBytes)} are needed`
  }
}

/** The checksum of a copied part does not match. */
export class TransferDamaged extends Schema.TaggedError<TransferDamaged>()("TransferDamaged", {
  hive: Schema.String,
  part: Schema.String
}) {
  override get message() {
    return `The ${this.part} arrived damaged on machine '${this.hive}' and was not installed; try again`
  }
}

/** The copied rbee is complete but does not run. */
export class ProgramBroken extends Schema.TaggedError<ProgramBroken>()("ProgramBroken", {
  hive: Schema.String,
  output: Schema.String
}) {
  override get message() {
    return `rbee failed its version check on machine '${this.hive}' and was not installed: ${this.output}`
  }
}

/** The path of rbee's launcher holds a file that rbee did not write. */
export class OtherProgram extends Schema.TaggedError<OtherProgram>()("OtherProgram", {
  hive: Schema.String,
  file: Schema.String
}) {
  override get message() {
    return `On machine '${this.hive}', ${this.file} is another program, which rbee does not replace; remove it, or set another BinaryPath in hives.conf`
  }
}

/** rbee is not installed on the machine. */
export class ProgramMissing extends Schema.TaggedError<ProgramMissing>()("ProgramMissing", {
  hive: Schema.String,
  file: Schema.String
}) {
  override get message() {
    return `rbee is not installed on machine '${this.hive}' (no ${this.file}); run 'rbee hive install ${this.hive}'`
  }
}

/** An rbee command failed on the machine. */
export class RemoteCommandFailed extends Schema.TaggedError<RemoteCommandFailed>()("RemoteCommandFailed", {
  hive: Schema.String,
  command: Schema.String,
  code: Schema.Int,
  lastLines: Schema.Array(Schema.String)
}) {
  override get message() {
    const lines = this.lastLines.length === 0 ? "no output" : this.lastLines.join(" | ")
    return `'${this.command}' failed on machine '${this.hive}' with code ${this.code}: ${lines}`
  }
}

/** The failures of starting or stopping a hive on another machine. */
export const RemoteHiveError = Schema.Union([
  SshError,
  ProgramMissing,
  RemoteCommandFailed,
  UnexpectedScriptOutput
])
export type RemoteHiveError = typeof RemoteHiveError.Type

/** The failures of installing rbee on another machine. */
export const InstallError = Schema.Union([
  SshError,
  HiveTokenError,
  InstallBundleError,
  UnknownPlatform,
  NodeMissing,
  NoSpace,
  TransferDamaged,
  ProgramBroken,
  OtherProgram,
  UnexpectedScriptOutput
])
export type InstallError = typeof InstallError.Type

/** The failures of uninstalling rbee from another machine. */
export const UninstallError = Schema.Union([RemoteHiveError, HiveTokenError])
export type UninstallError = typeof UninstallError.Type
