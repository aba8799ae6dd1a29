import * as Schema from "effect/Schema"

/** The store cannot be used. `reason`: another process uses it, the file is not a store of rbee, or the system failed. */
export class StoreUnusable extends Schema.TaggedError<StoreUnusable>()("StoreUnusable", {
  file: Schema.String,
  reason: Schema.Literals(["in_use", "damaged", "foreign", "system"]),
  detail: Schema.String
}) {
  override get message() {
    switch (this.reason) {
      case "in_use":
        return `Another process uses ${this.file}; stop that daemon, or choose another folder with RBEE_HOME`
      case "damaged":
        return `${this.file} is damaged: ${this.detail}`
      case "foreign":
        return `${this.file} was not written by rbee`
      case "system":
        return `${this.file} cannot be used: ${this.detail}`
    }
  }
}
