// @effect-diagnostics nodeBuiltinImport:off -- the store writes synchronously, see Journal.ts
import * as fs from "node:fs"
import * as path from "node:path"

/** The files of a folder that are numbered in the order of their creation, such as `00000001.journal`. */
export class NumberedFiles {
  readonly #folder: string
  readonly #extension: string

  constructor(folder: string, extension: string) {
    this.#folder = folder
    this.#extension = extension
  }

  pathOf(number: number) {
    return path.join(this.#folder, `${String(number).padStart(8, "0")}.${this.#extension}`)
  }

  /** Oldest first. */
  list() {
    const pattern = new RegExp(`^(\\d{8,})\\.${this.#extension}$`)
    return fs
      .readdirSync(this.#folder)
      .flatMap((name) => {
        const [, number] = pattern.exec(name) ?? []
        return number === undefined ? [] : [Number(number)]
      })
      .toSorted((left, right) => left - right)
  }

  /** Creates the file and writes its first bytes; returns its descriptor. */
  create(number: number, magic: Buffer) {
    fs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    const file = this.pathOf(number)
    const fd = fs.openSync(file, "wx+", 0o600)
    try {
      fs.writeSync(fd, magic)
      return fd
    } catch (error) {
      fs.closeSync(fd)
      fs.rmSync(file, { force: true })
      throw error
    }
  }

  /** Removes the files with numbers in `from` (included) to `to` (not included). */
  removeBetween(from: number, to: number) {
    for (let number = from; number < to; number++) fs.rmSync(this.pathOf(number), { force: true })
  }
}

/** Writes the buffer up to `end`, although the system may take a part at a time. */
export const writeFully = (fd: number, buffer: Uint8Array, end: number) => {
  for (let at = 0; at < end;) at += fs.writeSync(fd, buffer, at, end - at)
}
