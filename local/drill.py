"""`firn drill`: a pipeline's run is killed at every statement, run again, and must end as if nothing had happened.

For every batch the steps run once undisturbed; all tables are kept before each step and at the end.  Then, for every statement of
every step: all is put back, the step runs into its accident, the whole pipeline runs again, and all tables are compared with the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from snowflake.connector.errors import Error

from local import drill_state
from local.failpoints import FailPoint, Watch, watched
from local.rig import Rig

RUNS = 8
Batch = Callable[[Rig], None]  # puts rows into bronze


class NeverQuiet(RuntimeError):
    """Run after run found something new."""


@dataclass(frozen=True)
class Passed:
    """A step of the undisturbed run: what it said to the account, and under which name the tables before it are kept."""

    step: str
    target: str
    before: str
    watch: Watch

    @property
    def title(self) -> str:
        return f"{self.step} {self.target}".strip()


@dataclass
class Drilled:
    """What a drill tried, and what was not as it had to be."""

    statements: int = 0
    points: dict[str, int] = field(default_factory=dict)
    restarts: int = 0
    unreached: list[str] = field(default_factory=list)
    different: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Which points are tried.  `every` statement's own restart, or one for all points that leave the same tables behind;
    at every `kills`-th death the sandbox process is killed in earnest (0: never, the account only loses its session)."""

    every: bool = False
    kills: int = 0
    batches: frozenset[int] | None = None  # numbers from 1; None: all


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
            for step in steps:
                tried = 0
                for point in points(step.watch, plan, sum(done.points.values())):
                    for line in one_point(rig, step, point, end, plan, known, done, number):
                        tell(line)
                    tried += 1
                done.statements += len(step.watch.seen)
                tell(f"batch {number}   {step.title:<36} {len(step.watch.seen):>4} statements {tried:>5} points")
            drill_state.put_back(rig, end)
    return done


def undisturbed(rig: Rig, number: int) -> Iterator[Passed]:
    """The steps in the order of the plan, each as its task calls it."""
    for task in rig.plan():
        before = f"{number} {task.name}"
        drill_state.keep(rig, before)
        with watched(rig.account) as watch:
            rig.step(task.step, task.target)
        yield Passed(task.step, task.target, before, watch)


def points(watch: Watch, plan: Plan, tried: int) -> Iterable[FailPoint]:
    """Every accident of a step.

    Death before each statement, and after the last.  An error instead of each statement; and an error although it was carried
    out, where no transaction is open that takes it back: there it is the same as the error instead of it.
    """
    count = len(watch.seen)
    for at in range(1, count + 1):
        tried += 1
        death = "kill" if plan.kills and tried % plan.kills == 0 else "die"
        yield FailPoint(at, death)
        yield FailPoint(at, "error")
        if watch.has_effect[at - 1]:
            yield FailPoint(at, "error", is_after=True)
    if count:
        yield FailPoint(count, "die", is_after=True)


def one_point(
    rig: Rig, step: Passed, point: FailPoint, end: str, plan: Plan, known: dict[object, list[str]], done: Drilled, number: int
) -> list[str]:
    """Puts the tables back to before the step, lets it fail, runs the pipeline again, compares; what there is to tell."""
    name = f"batch {number}, {step.title}: {point.how} {'after' if point.is_after else 'before'} statement {point.at} of {len(step.watch.seen)} ({step.watch.seen[point.at - 1]})"
    drill_state.put_back(rig, step.before)
    with watched(rig.account, point) as watch:
        try:
            rig.step(step.step, step.target)
        except Error:
            pass  # the accident itself, or a step that overcame it: what it left behind is what counts
    done.points[point.how] = done.points.get(point.how, 0) + 1
    if not watch.has_struck:
        done.unreached.append(name)
        return [f"not reached: {name}"]
    left = drill_state.signature(rig)
    if plan.every or left not in known:
        done.restarts += 1
        known[left] = restarted(rig, end)
    if known[left]:
        done.different[name] = known[left]
        return [name, *(f"  {line}" for line in known[left])]
    return []


def restarted(rig: Rig, end: str) -> list[str]:
    """Runs the whole pipeline again; what is not as at the end of the undisturbed run."""
    try:
        settle(rig)
    except NeverQuiet as error:
        return [str(error)]
    except Error as error:
        return [f"the run after it failed: {error.msg}"]
    return drill_state.differences(rig, end)


def settle(rig: Rig) -> None:
    """Runs until two runs on end find nothing new: rows below LETS are found by the sweep of one quiet run and taken by the next."""
    quiet = 0
    for _ in range(RUNS):
        quiet = quiet + 1 if rig.run()["status"] == "nothing new" else 0
        if quiet == 2:
            return
    raise NeverQuiet(f"{rig.pipeline.name}: after {RUNS} runs there was still something new, though nothing arrived")
