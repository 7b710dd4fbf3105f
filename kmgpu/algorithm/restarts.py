"""Restarts of the loop from several initialisations, and the best of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kmgpu.algorithm.lloyd import HalfStep, Pause, half_steps
from kmgpu.algorithm.plan import Data, Plan, Restart, State, entry_of
from kmgpu.algorithm.seeding import Start
from kmgpu.algorithm.steps import cluster_weights, labels_to_keep
from kmgpu.algorithm.unit import unit_rows
from kmgpu.backend.arrays import asarray, namespace, to_host

# a restart that is better by rounding alone is the same clustering
LEAST_GAIN = 1e-12
# iterations between checkpoints; a new engine begins with a whole pass, the work of about one
EVERY = 10


def best_restart(data: Data, plan: Plan) -> Restart:
    """Run the loop `plan.n_init` times; the restart of lowest loss, the first of equals.

    Where `plan.watch` ends the fit, the best of the restarts until then, the present one included.

    With a checkpoint, the state is saved every `EVERY` iterations, after the next refit before
    which no row was moved, and between restarts. A new engine goes on from there, in the
    fit that saves as in one that begins with the saved state: what engines keep from earlier
    iterations, such as sums kept by difference, is the same for both, and so is every bit.
    """
    run = _Run(data, plan)
    while run.state.n_ended < plan.n_init and not run.stopped:
        run.restart()
    return run.ended()


class _Run:
    """The restarts of one fit, and their state."""

    def __init__(self, data: Data, plan: Plan) -> None:
        self._data, self._plan, self.state = data, plan, State()
        self.stopped = False
        self._tol = data.tolerance(plan)
        self._facts = {} if plan.checkpoint is None else data.facts()
        saved = None if plan.checkpoint is None else plan.checkpoint.load(self._facts)
        if saved is not None:
            self.state = saved
            plan.rng.bit_generator.state = saved.random
        self._steps = data.engine(plan)

    def restart(self) -> None:
        """One restart, or the rest of it."""
        plan, state = self._plan, self.state
        start = None
        if state.pause is None:
            start = self._data.start(plan)
            if plan.loss.unit and not isinstance(plan.init, str):
                start = Start(unit_rows(start.centers, "init"))
            plan.progress.say("Initialization complete")
        else:
            plan.progress.say(f"Goes on after iteration {state.pause.iteration}.")
        for step in plan.progress.shown(self._half_steps(start)):
            self._note(step)
        self._tell_end(step)
        factor, weight = plan.weight_factor, self._data.sample_weight
        weights = factor * cluster_weights(self._steps, weight)
        found = Restart(step, tuple(state.history), state.history[-1].loss, weights)
        best = state.best
        if best is None or found.loss < best.loss * (1 - LEAST_GAIN):
            best = found
        self.state = State(best, state.n_ended + 1)
        if plan.checkpoint is not None and self.state.n_ended < plan.n_init:
            self._save(None)
            self._renew()

    def ended(self) -> Restart:
        """The best restart, with its labels."""
        best, plan = self.state.best, self._plan
        assert best is not None
        if best.last.labels is None:
            centers = asarray(best.last.centers, self._data.place)
            xp = namespace(centers)
            self._steps.assign(xp.astype(centers, xp.float64))
            last = replace(best.last, centers=centers, labels=labels_to_keep(self._steps))
            best = best._replace(last=last)
        if plan.checkpoint is not None:
            plan.checkpoint.clear()
        return best

    def _half_steps(self, start: Start | None) -> Iterator[HalfStep]:
        """The loop; at every checkpoint it goes on with a new engine."""
        plan, place = self._plan, self._data.place
        while True:
            pause = self.state.pause
            if pause is not None:
                at, to = (asarray(array, place) for array in (pause.previous, pause.centers))
                pause = Pause(pause.iteration, at, to)
            loop = half_steps(
                self._steps,
                self._data.sample_weight,
                None if start is None else start.centers,
                plan.dtype,
                None if start is None else start.labels,
                weight_factor=plan.weight_factor * plan.loss.factor,
                max_iter=plan.max_iter,
                tol=self._tol,
                empty_cluster=plan.empty_cluster,
                pause=pause,
                stopped=lambda: self.stopped,
            )
            previous = None
            for step in loop:
                yield step
                if plan.watch is not None and plan.watch(step):
                    self.stopped = True
                if step.kind == "assign":
                    previous = step.centers
                elif step.kind == "refit" and self._saves(step):
                    self._save(Pause(step.iteration, previous, step.centers))
                    break
            else:
                return
            del loop, step  # two engines would keep bounds for all rows
            self._renew()

    def _saves(self, step: HalfStep) -> bool:
        if self._plan.checkpoint is None or step.n_relocated or self.stopped:
            return False
        pause = self.state.pause
        since = step.iteration - (0 if pause is None else pause.iteration)
        return since >= EVERY and step.shift > self._tol and step.iteration < self._plan.max_iter

    def _save(self, pause: Pause | None) -> None:
        assert self._plan.checkpoint is not None
        if pause is not None:
            pause = Pause(pause.iteration, to_host(pause.previous), to_host(pause.centers))
        self.state.pause = pause
        self.state.random = dict(self._plan.rng.bit_generator.state)
        self._plan.checkpoint.save(self._facts, self.state)

    def _renew(self) -> None:
        del self._steps
        self._steps = self._data.engine(self._plan)

    def _note(self, step: HalfStep) -> None:
        if step.loss is None:
            return
        self.state.history.append(entry_of(step))
        if step.kind == "refit":
            self._plan.progress.say(f"Iteration {step.iteration}, inertia {step.loss}.")

    def _tell_end(self, step: HalfStep) -> None:
        if step.stop == "labels":
            self._plan.progress.say(f"Converged at iteration {step.iteration}: strict convergence.")
        elif step.stop == "shift":
            shift = self.state.history[-2].shift
            self._plan.progress.say(
                f"Converged at iteration {step.iteration}: center shift {shift} within tolerance "
                f"{self._tol}."
            )
        elif step.stop == "callback":
            self._plan.progress.say(f"Stopped by the callback at iteration {step.iteration}.")
