import { keyOf, type WorkerView } from "../../src/queen/scheduler/Fleet.ts"
import type { SchedulerLimits } from "../../src/queen/scheduler/limits.ts"
import type { QueuedRequest, Message, Command, Outcome } from "../../src/queen/scheduler/messages.ts"
import { SchedulerCore } from "../../src/queen/scheduler/SchedulerCore.ts"
import { Random } from "../support/Random.ts"
import { devicesHoldTheirWorkers } from "./checks/devicesHoldTheirWorkers.ts"
import { nobodyIsOvertaken } from "./checks/nobodyIsOvertaken.ts"
import { nobodyWaitsBeyondDeadline } from "./checks/nobodyWaitsBeyondDeadline.ts"
import { nobodyWaitsForNothing } from "./checks/nobodyWaitsForNothing.ts"
import { queuesAreBounded } from "./checks/queuesAreBounded.ts"
import { requestRunsWhereItMay } from "./checks/requestRunsWhereItMay.ts"
import { workerMayGo } from "./checks/workerMayGo.ts"
import { Timeline } from "./Timeline.ts"
import { type Hive, World } from "./World.ts"

/** What is simulated: the scheduler itself, or one with a bug that was planted. */
export type Core = Pick<SchedulerCore, "explain" | "handle" | "load">

const limits: SchedulerLimits = {
  queueLength: 24,
  imbalanceTokens: 2000,
  minResidency: 20_000,
  starvationBound: 30_000,
  scaleAfter: 5_000,
  idleTtl: 240_000,
  breakerFaults: 3,
  breakerPause: 15_000,
  loadPause: 10_000
}

/** A promise of the scheduler that did not hold; the message has the seed and what happened before. */
export class BrokenInvariant extends Error {}

interface Request {
  readonly asked: QueuedRequest
  state: "waiting" | "running" | "over"
  worker?: string
}

const lookEvery = 500
const lookWhenIdle = 5_000
const shownMessages = 30
const keys = ["", "alice", "bob", "carol"]

/** One fleet, from nothing to the end of its last request, as the seed decides. */
export class Simulation {
  readonly #seed: number
  readonly #random: Random
  readonly #limits: SchedulerLimits
  readonly #timeline = new Timeline()
  readonly #world: World
  readonly #core: Core
  readonly #requests = new Map<string, Request>()
  readonly #waiting = new Set<Request>()
  /** Requests that run on each worker, as the scheduler ordered and was told. */
  readonly #onWorker = new Map<string, number>()
  /** What each device was said to have free, less what was ordered since. */
  #told = new Map<string, number>()
  readonly #loads = new Set<string>()
  readonly #leaving = new Set<string>()
  readonly #recent: Array<readonly [at: number, what: Message | Command]> = []
  readonly #endsAt: number
  #lookedAt = Number.NEGATIVE_INFINITY
  #asked = 0
  readonly counts = { run: 0, refused: 0, left: 0, loads: 0, deletes: 0, deaths: 0 }

  constructor(
    seed: number,
    makeCore: (limits: SchedulerLimits) => Core = (limits) => new SchedulerCore(limits)
  ) {
    this.#seed = seed
    this.#random = new Random(seed)
    this.#world = new World(this.#random)
    this.#limits = { ...limits, minResidency: this.#random.pick([100, limits.minResidency]) }
    this.#core = makeCore(this.#limits)
    this.#endsAt = this.#random.whole(5, 20) * 60_000
  }

  /** Plays it to its end; gives how many milliseconds of the fleet's time that was. */
  run() {
    const random = this.#random
    const pace = random.pick([2_000, 8_000, 30_000])
    this.#timeline.after(0, () => this.#round())
    this.#repeat(pace, () => this.#arrivals())
    this.#repeat(90_000, () => this.#chaos())
    const limit = this.#endsAt + 3_600_000
    while (!this.#timeline.isEmpty) {
      this.#timeline.step()
      if (this.#timeline.now > limit)
        this.#fail("an hour after the last request something is still under way")
    }
    const { loading, requests, tokens, waiting } = this.#core.load
    if (waiting + requests + tokens + loading !== 0) {
      this.#fail(`at the end is left: ${JSON.stringify({ loading, requests, tokens, waiting })}`)
    }
    for (const { asked, state } of this.#requests.values()) {
      if (state !== "over") this.#fail(`request ${asked.id} was lost: it is ${state}`)
    }
    return this.#timeline.now
  }

  get #isOver() {
    return this.#timeline.now >= this.#endsAt
  }

  /** Whether nothing would happen any more if nobody asked. */
  get #isQuiet() {
    const { loading, requests, waiting } = this.#core.load
    return this.#isOver && waiting + requests + loading === 0 && this.#leaving.size === 0
  }

  #repeat(mean: number, happen: () => void) {
    this.#timeline.after(this.#random.wait(mean), () => {
      if (this.#isOver) return
      happen()
      this.#repeat(mean, happen)
    })
  }

  #fail(sentence: string): never {
    const recent = this.#recent
      .slice(-shownMessages)
      .map(
        ([at, what]) =>
          `${Math.round(at)} ${JSON.stringify(what._tag === "Fleet" ? { _tag: what._tag } : what)}`
      )
    const when = Math.round(this.#timeline.now)
    throw new BrokenInvariant(`seed ${this.#seed}, ${when} ms: ${sentence}\n${recent.join("\n")}`)
  }

  #note(what: Message | Command) {
    this.#recent.push([this.#timeline.now, what])
    if (this.#recent.length > 2 * shownMessages) this.#recent.splice(0, shownMessages)
  }

  #tell(message: Message) {
    this.#note(message)
    if (message._tag === "Ended") this.#giveBack(message.id)
    for (const order of this.#core.handle(message, this.#timeline.now)) this.#perform(order)
    const explain: Core["explain"] = (wish, now) => this.#core.explain(wish, now)
    this.#hold(nobodyWaitsForNothing(this.#waitingFor(this.#modelOf(message)), explain, this.#timeline.now))
  }

  /** The model whose requests a message is about; nothing for one about all of them. */
  #modelOf(message: Message) {
    switch (message._tag) {
      case "Asked":
        return message.request.model
      case "Left":
      case "Ended":
        return this.#requests.get(message.id)?.asked.model
      case "Loaded":
      case "Deleted":
        return message.worker.model
      case "LoadFailed":
        return ""
      case "Fleet":
      case "Tick":
        return undefined
    }
  }

  // As the daemon does it: it looks often as long as somebody waits, and now and then otherwise.
  #round() {
    const { now } = this.#timeline
    const { loading, waiting } = this.#core.load
    if (waiting > 0 || loading > 0 || now - this.#lookedAt >= lookWhenIdle) {
      this.#lookedAt = now
      this.#fleet()
    }
    this.#tell({ _tag: "Tick" })
    this.#hold(nobodyWaitsBeyondDeadline(this.#waitingFor(), this.#timeline.now))
    this.#hold(queuesAreBounded(this.#waitingFor(), limits.queueLength))
    if (this.#isQuiet) return
    const rests = this.#waiting.size === 0 && loading === 0 && this.#leaving.size === 0
    this.#timeline.after(rests ? lookWhenIdle : lookEvery, () => this.#round())
  }

  #fleet() {
    const hives = this.#world.snapshot()
    this.#told = new Map(
      hives.flatMap(({ devices, id }) => devices.map((device) => [`${id}/${device.id}`, device.freeBytes]))
    )
    this.#tell({ _tag: "Fleet", hives })
    this.#hold(
      devicesHoldTheirWorkers(
        this.#world,
        hives.map(({ id }) => id)
      )
    )
  }

  #arrivals() {
    const burst = this.#random.chance(0.1) ? this.#random.whole(2, 12) : 1
    for (let i = 0; i < burst; i++) this.#ask()
  }

  #ask() {
    const random = this.#random
    const { now } = this.#timeline
    const id = `r${this.#asked++}`
    const tokens = random.whole(10, 2_000)
    const hive = random.chance(0.05) ? random.pick(this.#world.hives).id : undefined
    const asked: QueuedRequest = {
      id,
      model: random.pick(this.#world.models).id,
      tokens,
      prefixes: random.chance(0.5) ? [`p${random.whole(0, 3)}`, `q${random.whole(0, 3)}`] : [],
      contextSize: random.chance(0.2) ? random.pick([1024, 4096]) : undefined,
      hive,
      servingOnly: random.chance(0.05),
      key: random.pick(keys),
      priority: random.chance(0.2) ? random.whole(-2, 2) : 0,
      askedAt: now,
      deadline: now + random.pick([10_000, 60_000, 300_000])
    }
    const request: Request = { asked, state: "waiting" }
    this.#requests.set(id, request)
    this.#waiting.add(request)
    if (random.chance(0.05)) {
      this.#timeline.after(random.wait(10_000), () => {
        if (request.state !== "waiting") return
        this.#over(request)
        this.counts.left++
        this.#tell({ _tag: "Left", id })
      })
    }
    this.#tell({ _tag: "Asked", request: asked })
  }

  #over(request: Request) {
    request.state = "over"
    this.#waiting.delete(request)
  }

  #chaos() {
    const random = this.#random
    const hive = random.pick(this.#world.hives)
    if (random.chance(0.4) && hive.up) {
      this.#die(hive)
      this.#timeline.after(random.wait(60_000), () => {
        hive.up = true
      })
    } else if (random.chance(0.5)) {
      const device = random.pick(hive.devices)
      device.foreign = random.chance(0.5) ? 0 : Math.floor(device.bytes * random.next() * 0.8)
    } else {
      const worker = [...hive.workers.values()].at(0)
      if (worker !== undefined) this.#loseWorker(hive, worker.id)
    }
  }

  #die(hive: Hive) {
    this.counts.deaths++
    hive.up = false
    hive.lives++
    for (const id of hive.workers.keys()) this.#loseWorker(hive, id)
    for (const device of hive.devices) device.loading = 0
  }

  #loseWorker(hive: Hive, id: string) {
    const worker = hive.workers.get(id)
    hive.workers.delete(id)
    for (const lose of worker?.busy.values() ?? []) lose()
  }

  #perform(order: Command) {
    this.#note(order)
    switch (order._tag) {
      case "Run":
        return this.#start(order.id, order.worker)
      case "Waits":
        if (this.#requests.get(order.id)?.state !== "waiting") this.#fail(`${order.id} does not wait`)
        return
      case "Refuse": {
        const request = this.#requests.get(order.id)
        if (request?.state !== "waiting") return this.#fail(`${order.id} is refused and does not wait`)
        const { refusal } = order
        if (refusal._tag === "QueueTimeout" && request.asked.deadline > this.#timeline.now) {
          this.#fail(`${order.id} is refused before its deadline`)
        }
        this.counts.refused++
        return this.#over(request)
      }
      case "Load":
        return this.#load(order)
      case "Delete":
        return this.#delete(order.worker)
    }
  }

  #start(id: string, view: WorkerView) {
    const random = this.#random
    const request = this.#requests.get(id)
    if (request?.state !== "waiting") return this.#fail(`${id} is to run and does not wait`)
    const { asked } = request
    const { now } = this.#timeline
    const worker = keyOf(view)
    const running = (this.#onWorker.get(worker) ?? 0) + 1
    const slots = this.#world.worker(view)?.slots ?? view.slots
    this.#hold(requestRunsWhereItMay(asked, view, { isLeaving: this.#leaving.has(worker), running, slots }))
    this.#hold(nobodyIsOvertaken(asked, view, this.#waitingFor(), now, limits.starvationBound))
    this.#onWorker.set(worker, running)
    this.counts.run++
    request.state = "running"
    request.worker = worker
    this.#waiting.delete(request)

    const real = this.#world.worker(view)
    const end = (outcome: Outcome) => {
      if (request.state !== "running") return
      real?.busy.delete(id)
      this.#tell({ _tag: "Ended", id, outcome })
    }
    // It may have died without the scheduler knowing, and then the connection is refused.
    if (real === undefined) return this.#timeline.after(random.whole(2, 2_000), () => end("fault"))
    real.busy.set(id, () => this.#timeline.after(1, () => end("fault")))
    const outcome = random.chance(0.9) ? "ok" : random.pick(["fault", "client", "engine", "busy"] as const)
    this.#timeline.after(50 + request.asked.tokens * random.whole(5, 20), () => end(outcome))
  }

  #giveBack(id: string) {
    const request = this.#requests.get(id)
    if (request?.worker === undefined) return
    this.#over(request)
    this.#onWorker.set(request.worker, (this.#onWorker.get(request.worker) ?? 0) - 1)
  }

  #load({ device: deviceId, hive: hiveId, load, demand }: Extract<Command, { _tag: "Load" }>) {
    const random = this.#random
    const hive = this.#world.hive(hiveId)
    const device = hive?.devices.find(({ id }) => id === deviceId)
    const file = hive?.files.find(({ id }) => id === demand.model)
    if (hive === undefined || device === undefined || file === undefined) {
      return this.#fail(`${load} is for a place that there is not`)
    }
    if (this.#loads.has(load)) this.#fail(`${load} is ordered twice`)
    this.#loads.add(load)
    const where = `${hiveId}/${deviceId}`
    const told = (this.#told.get(where) ?? 0) - file.bytes
    if (told < 0) this.#fail(`${load} takes ${-told} bytes more than ${where} was said to have`)
    this.#told.set(where, told)
    const toldOf = this.#told
    if (![...this.#waiting].some(({ asked }) => asked.model === demand.model && asked.servingOnly !== true)) {
      this.#fail(`${load} is for nobody who waits for a load`)
    }
    this.counts.loads++

    const { lives } = hive
    const fits = this.#world.free(hive, device) >= file.bytes
    if (fits) device.loading += file.bytes
    const works = hive.up && fits && random.chance(0.93)
    const takes = works ? 500 + (file.bytes / 2e9) * random.whole(500, 1_500) : random.whole(5, 8_000)
    this.#timeline.after(takes, () => {
      const alive = hive.up && hive.lives === lives
      if (alive && fits) device.loading -= file.bytes
      if (!works || !alive) {
        // Unless the hive has told of itself since, the memory is what it was.
        if (this.#told === toldOf) toldOf.set(where, (toldOf.get(where) ?? 0) + file.bytes)
        const fault = alive ? (fits ? random.pick(["model", "killed"] as const) : "full") : "hive"
        return this.#tell({ _tag: "LoadFailed", load, reason: "it did not start", fault })
      }
      const worker = this.#world.add(hive, {
        model: demand.model,
        device,
        bytes: file.bytes,
        slots: random.whole(1, 4),
        contextSize: demand.contextSize ?? 2048,
        loadedAt: this.#timeline.now
      })
      const tell = () => this.#tell({ _tag: "Loaded", load, worker: this.#world.viewOf(hive, worker) })
      // Its hive may tell of it before whoever asked for it is answered.
      if (random.chance(0.3)) this.#timeline.after(random.whole(1, 1_500), tell)
      else tell()
    })
  }

  #delete(view: WorkerView) {
    const key = keyOf(view)
    const worker = this.#world.worker(view)
    this.#hold(
      workerMayGo(key, {
        isLeaving: this.#leaving.has(key),
        running: this.#onWorker.get(key) ?? 0,
        loadedFor: worker === undefined ? undefined : this.#timeline.now - worker.loadedAt,
        minResidency: this.#limits.minResidency
      })
    )
    this.#leaving.add(key)
    this.counts.deletes++
    this.#timeline.after(this.#random.whole(50, 3_000), () => {
      this.#world.hive(view.hive)?.workers.delete(view.id)
      this.#leaving.delete(key)
      const hive = this.#world.hive(view.hive)
      const device = hive?.devices.find(({ id }) => id === view.device)
      if (hive !== undefined && device !== undefined) {
        const where = `${view.hive}/${view.device}`
        this.#told.set(where, (this.#told.get(where) ?? 0) + view.memoryBytes)
      }
      this.#tell({ _tag: "Deleted", worker: view })
    })
  }

  #hold(broken: string | undefined) {
    if (broken !== undefined) this.#fail(broken)
  }

  /** The requests that wait, of one model or of all. */
  *#waitingFor(model?: string) {
    for (const { asked } of this.#waiting) if (model === undefined || asked.model === model) yield asked
  }
}
