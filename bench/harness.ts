/**
 * Measures tasks against one another: rounds in which each task runs for a while, one after the other, so that what disturbs the machine disturbs
 * all of them. CPU time of the process, medians over the rounds; ratios are made within a round.
 *
 * @module
 */
export interface Task { readonly name: string; run(): void }
export interface Timing { readonly name: string; /** Microseconds of CPU for one run, round by round. */ readonly rounds: readonly number[] }

export interface Plan { readonly rounds: number; readonly warmUpMs: number; readonly roundMs: number }

export function measure(tasks: readonly Task[], { rounds, warmUpMs, roundMs }: Plan): readonly Timing[] {
  const prepared = tasks.map((task) => {
    const cost = Math.max(0.2, spend(task, runsWithin(task, warmUpMs)))
    return { task, runs: Math.max(3, Math.round((roundMs * 1_000) / cost)), rounds: [] as number[] }
  })
  for (let round = 0; round < rounds; round++) {
    for (const each of prepared) each.rounds.push(spend(each.task, each.runs))
  }
  return prepared.map(({ task, rounds: measured }) => ({ name: task.name, rounds: measured }))
}

/** Microseconds of CPU for one run. */
function spend(task: Task, runs: number): number {
  const before = process.cpuUsage()
  for (let run = 0; run < runs; run++) task.run()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / runs
}
function runsWithin(task: Task, ms: number): number {
  const end = performance.now() + ms
  let runs = 0
  while (performance.now() < end) {
    task.run()
    runs += 1
  }
  return Math.max(1, Math.round(runs / 2))
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const [low = 0, high = 0] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]]
  return (low + high) / 2
}
/** The median of the rounds' own ratios: steadier than a ratio of medians. */
export const ratio = (of: Timing, to: Timing): number => median(of.rounds.map((value, round) => value / (to.rounds[round] ?? Number.NaN)))
