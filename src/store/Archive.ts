// @effect-diagnostics nodeBuiltinImport:off -- the store writes synchronously, see Journal.ts
import * as fs from "node:fs"
import { crc32 } from "node:zlib"
import { NumberedFiles, writeFully } from "./numberedFiles.ts"

const magic = Buffer.from("RBEEARC1")
const entryHead = 8
const maxFile = 64 * 1024 * 1024

/** Where the archive has the events of a job. */
export interface ArchivePosition {
  readonly file: number
  readonly offset: number
  readonly bytes: number
}

/** Files with the complete logs of ended jobs, in the order in which they ended. */
export class Archive {
  readonly #files: NumberedFiles
  readonly #isSynced: boolean
  #fd: number | undefined
  #file: number
  #oldest: number
  #size = 0

  /** Never continues a file of an earlier process, whose end may be torn. */
  constructor(folder: string, sync: "full" | "process") {
    this.#files = new NumberedFiles(folder, "archive")
    this.#isSynced = sync === "full"
    const existing = fs.existsSync(folder) ? this.#files.list() : []
    this.#oldest = existing[0] ?? 1
    this.#file = existing.at(-1) ?? 0
  }

  /**
   * Appends logs, each of which consists of several pieces, with one write. A file may become larger than the limit by the
   * logs of one call. Throws the error of the system.
   */
  append(logs: ReadonlyArray<ReadonlyArray<Uint8Array>>): ReadonlyArray<ArchivePosition> {
    if (logs.length === 0) return []
    const fd = this.#current()
    let offset = this.#size
    const output: Array<Uint8Array> = []
    const positions = logs.map((pieces) => {
      const head = Buffer.allocUnsafe(entryHead)
      let bytes = 0
      let checksum = 0
      for (const piece of pieces) {
        bytes += piece.length
        checksum = crc32(piece, checksum)
      }
      head.writeUInt32LE(bytes, 0)
      head.writeUInt32LE(checksum, 4)
      output.push(head, ...pieces)
      const position = { file: this.#file, offset, bytes }
      offset += entryHead + bytes
      return position
    })
    try {
      const content = Buffer.concat(output)
      writeFully(fd, content, content.length)
      this.#size = offset
      return positions
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Returns when everything that was appended is on the disk, if the store is to survive a power failure. */
  sync() {
    if (this.#isSynced && this.#fd !== undefined) fs.fdatasyncSync(this.#fd)
  }

  /** Reads a log; undefined if the file does not have it intact. */
  async read({ bytes, file, offset }: ArchivePosition) {
    const handle = await fs.promises.open(this.#files.pathOf(file), "r").catch(() => undefined)
    if (handle === undefined) return undefined
    try {
      const entry = Buffer.allocUnsafeSlow(entryHead + bytes)
      const { bytesRead } = await handle.read(entry, 0, entry.length, offset)
      const content = entry.subarray(entryHead)
      const isIntact =
        bytesRead === entry.length &&
        entry.readUInt32LE(0) === bytes &&
        entry.readUInt32LE(4) === crc32(content)
      return isIntact ? content : undefined
    } finally {
      await handle.close()
    }
  }

  /** Removes all files with smaller numbers; undefined removes all but the current one. */
  dropBelow(number = this.#file) {
    const limit = Math.min(number, this.#file)
    this.#files.removeBetween(this.#oldest, limit)
    this.#oldest = Math.max(this.#oldest, limit)
  }

  close() {
    if (this.#fd === undefined) return
    fs.closeSync(this.#fd)
    this.#fd = undefined
  }

  #current() {
    if (this.#fd !== undefined && this.#size < maxFile) return this.#fd
    this.close()
    const fd = this.#files.create(this.#file + 1, magic)
    this.#fd = fd
    this.#file++
    this.#size = magic.length
    return fd
  }
}
