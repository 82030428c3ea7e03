"""`firn drill`: a pipeline's run is killed at every statement, run again, and must end as if nothing had happened.

For every batch the steps run once undisturbed, as the tasks of one graph run; all tables are kept before each step and at the end.
Then, for every statement of every step, the step runs into its accident, and what it left is looked at:

- the tables before the step, bit for bit: what runs from there on is the undisturbed run, for a run follows from the tables;
- the tables after it, as the undisturbed step left them: the same;
- anything between: a step that promises one transaction has broken it.  `begin`, the sweep and `finish` make no such promise.

From each state of the third kind, and from chosen ones of the first two, the whole pipeline is run again and all tables are compared
with the end of the undisturbed run; with `every`, from every point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from snowflake.connector.errors import Error

from local import drill_state
from local.drill_state import State
from local.failpoints import READING, FailPoint, Watch, watched
from local.rig import Rig

RUNS = 8
AS_ONE = ("load", "dimension", "fact", "measure")  # steps that are one transaction
BEFORE, AFTER, BETWEEN = "as before", "as after", "between"
Batch = Callable[[Rig], None]  # puts rows into bronze


class NeverQuiet(RuntimeError):
    """Run after run found something new."""


@dataclass(frozen=True)
class Passed:
    """A step of the undisturbed run: what it said to the account, and under which names the tables before and after it are kept."""

    step: str
    target: str
    before: str
    after: str
    watch: Watch

    @property
    def title(self) -> str:
        return f"{self.step} {self.target}".strip()


@dataclass
class Drilled:
    """What a drill tried, what the accidents left, and what was not as it had to be."""

    statements: int = 0
    points: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    unreached: list[str] = field(default_factory=list)
    different: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Which points are tried.  `every` point's own restart, or chosen ones;
    at every `kills`-th death the sandbox process is killed in earnest (0: never, the account only loses its session)."""

    every: bool = False
    kills: int = 0
    batches: frozenset[int] | None = None  # numbers from 1; None: all


@dataclass
class Ground:
    """What the points of one step are held against, and the restarts made already."""

    number: int
    step: Passed
    end: str
    before: State  # exact
    after: State
    last: State  # at the end
    known: dict[object, list[str]]


def drill(rig: Rig, batches: Sequence[Batch], plan: Plan, tell: Callable[[str], None] = lambda line: None) -> Drilled:
    """Drills the pipeline of a rig, batch after batch."""
    done = Drilled()
    for number, batch in enumerate(batches, 1):
        batch(rig)
        steps = list(undisturbed(rig, number))
        settle(rig)
        end = f"end of {number}"
        drill_state.keep(rig, end)
        if plan.batches is None or number in plan.batches:
            known: dict[object, list[str]] = {}
            last = drill_state.state(rig)
            for step in reversed(steps):  # what is left after a step is what is before the next: see one_point
                ground = Ground(number, step, end, drill_state.exact(rig, step.before), drill_state.state(rig, step.after), last, known)
                tried = one_step(rig, ground, plan, done, tell)
                done.statements += len(step.watch.seen)
                tell(f"batch {number}   {step.title:<36} {len(step.watch.seen):>4} statements {tried:>5} points")
        drill_state.put_back(rig, end)
    return done


def undisturbed(rig: Rig, number: int) -> Iterator[Passed]:
    """The steps in the order of the plan, each as its task calls it."""
    tasks = rig.plan()
    names = [f"{number} {task.name}" for task in tasks] + [f"{number} after all"]
    drill_state.keep(rig, names[0])
    for task, before, after in zip(tasks, names, names[1:], strict=False):
        with watched(rig.account) as watch:
            rig.step(task.step, task.target, graph_run=f"graph run {number}")
        drill_state.keep(rig, after)
        yield Passed(task.step, task.target, before, after, watch)


def points(watch: Watch, plan: Plan, tried: int) -> Iterable[FailPoint]:
    """Every accident of a step.

    Death before each statement, and after the last.  An error instead of each statement; and an error although it was carried
    out, where no transaction is open that takes it back: there it is the same as the error instead of it.  A statement that only
    reads leaves the account as it was: to die after it is to die before it, and is tried once.
    """
    count = len(watch.seen)
    for at in range(1, count + 1):
        if plan.every or at == 1 or watch.seen[at - 2] not in READING:
            tried += 1
            yield FailPoint(at, "kill" if plan.kills and tried % plan.kills == 0 else "die")
        yield FailPoint(at, "error")
        if watch.has_effect[at - 1]:
            yield FailPoint(at, "error", is_after=True)
    if count and (plan.every or watch.seen[-1] not in READING):
        yield FailPoint(count, "die", is_after=True)


def one_step(rig: Rig, ground: Ground, plan: Plan, done: Drilled, tell: Callable[[str], None]) -> int:
    """All points of a step, the last first: what was done the furthest is restarted from.  Gives their number."""
    drill_state.put_back(rig, ground.step.before)
    tried = list(points(ground.step.watch, plan, done.points.total()))
    for point in reversed(tried):
        for line in one_point(rig, ground, point, plan, done):
            tell(line)
    return len(tried)


def one_point(rig: Rig, ground: Ground, point: FailPoint, plan: Plan, done: Drilled) -> list[str]:
    """Lets the step fail from the tables before it, looks at what is left, and puts them back; what there is to tell."""
    step = ground.step
    where = f"{'after' if point.is_after else 'before'} statement {point.at} of {len(step.watch.seen)} ({step.watch.seen[point.at - 1]})"
    name = f"batch {ground.number}, {step.title}: {point.how} {where}"
    with watched(rig.account, point) as watch:
        try:
            rig.step(step.step, step.target, graph_run=f"graph run {ground.number}")
        except Error:
            pass  # the accident itself, or a step that overcame it: what it left behind is what counts
    done.points[point.how] += 1
    if not watch.has_struck:
        done.unreached.append(name)
        drill_state.put_back(rig, step.before)
        return [f"not reached: {name}"]
    what, left = judged(rig, ground)
    done.left[what] += 1
    wrong = unsaid(rig, ground, point) if what == BEFORE else []
    if what == BETWEEN and step.step in AS_ONE:
        wrong = ["neither as before the step nor as after it; less the tables before it:", *drill_state.differences(rig, step.before)]
    # After a step is before the next, from where there is a restart already.
    key = object() if plan.every else left if what == BETWEEN else step.before if what == BEFORE else step.after
    is_new = key not in ground.known
    if is_new:
        done.restarts += 1
        ground.known[key] = restarted(rig, ground)
    drill_state.put_back(rig, step.before, () if is_new or what != BEFORE else (drill_state.LOG, drill_state.ALERTS))
    wrong += ground.known[key]
    if wrong:
        done.different[name] = wrong
        return [name, *(f"  {line}" for line in wrong)]
    return []


def unsaid(rig: Rig, ground: Ground, point: FailPoint) -> list[str]:
    """A step that is refused a statement of its transaction says so in the log, in a row that outlives the rollback."""
    title, (refused,) = ground.step.title, rig.duck(f"SELECT count(*) FROM {drill_state.place_sql(drill_state.LOG)} WHERE status = 'failed' AND step = ?", [ground.step.title])[0]
    before = sum(count for step, status, count in ground.before.outcomes if (step, status) == (title, "failed"))
    is_told = point.how != "error" or not ground.step.watch.is_inside[point.at - 1] or refused == before + 1
    return [] if is_told else ["the step was refused a statement and the log does not say that it failed"]


def judged(rig: Rig, ground: Ground) -> tuple[str, State | None]:
    """What an accident left the tables as; between the two, with their state."""
    if drill_state.exact(rig).equals(ground.before):
        return BEFORE, None
    left = drill_state.state(rig)
    return (AFTER, None) if left.equals(ground.after) else (BETWEEN, left)


def restarted(rig: Rig, ground: Ground) -> list[str]:
    """Runs the whole pipeline again until the tables are those at the end, from which runs find nothing new; what is not as there."""
    quiet = 0
    for _ in range(RUNS):
        try:
            quiet = quiet + 1 if rig.run()["status"] == "nothing new" else 0
        except Error as error:
            return [f"the run after it failed: {error.msg}"]
        if drill_state.state(rig).equals(ground.last):
            return []
        if quiet == 2:
            return ["run again, until nothing was new:", *drill_state.differences(rig, ground.end)]
    return [str(NeverQuiet(unquiet(rig)))]


def settle(rig: Rig) -> None:
    """Runs until two runs on end find nothing new: rows below LETS are found by the sweep of one quiet run and taken by the next."""
    quiet = 0
    for _ in range(RUNS):
        quiet = quiet + 1 if rig.run()["status"] == "nothing new" else 0
        if quiet == 2:
            return
    raise NeverQuiet(unquiet(rig))


def unquiet(rig: Rig) -> str:
    return f"{rig.pipeline.name}: after {RUNS} runs there was still something new, though nothing arrived"
