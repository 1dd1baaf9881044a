# SPDX-License-Identifier: Apache-2.0
"""Programs that a model wrote, and their verdicts; formats side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence as Listed
from typing import Any

from ._llq import ffi, lib
from ._native import (Handle, Option, Path, Progress, check, fill, path, steps,
                      text)
from .device import Backend
from .model import Model
from .progress import ProgressOption, follow
from .results import Comparison, Run, SweepResult


def _options(task: Path, directory: Path, options: dict[str, Option],
             ) -> tuple[Any, list[Any]]:
    return fill("llq_evaluator_options", task=path(task),
                directory=path(directory), **options)


class Evaluator(Handle):
    """Generates programs for a task set, runs them in the sandbox, scores
    them. A directory that has a part of the same run is continued.

    Parameters
    ----------
    model : Model
        What writes the programs.
    task : path
        JSONL in HumanEval's format, plain or gzip; or ``"llq-micro"``.
    directory : path
        The run's; made if absent.
    backend : Backend, optional
        By default one of its own.
    protocol : str, optional
        ``"humaneval"`` (the default), ``"evalplus"`` or ``"study"``.
    n_tasks, n_samples : int
        Only the first tasks; samples a task. 0 = all; the protocol's.
    **options
        Any further field of ``llq_evaluator_options``, such as
        ``temperature``, ``seed``, ``sandbox`` or ``n_workers``.
    """

    def __init__(self, model: Model, task: Path, directory: Path, *,
                 backend: Backend | None = None, protocol: str | None = None,
                 n_tasks: int = 0, n_samples: int = 0, **options: Option) -> None:
        backend = backend if backend is not None else Backend()
        super().__init__(backend._lock)
        self._directory = directory
        struct, _kept = _options(task, directory, dict(
            options, protocol=protocol, n_tasks=n_tasks, n_samples=n_samples))
        out = ffi.new("llq_evaluator **")
        runs_on = backend._open()
        with self._lock:
            check(lib.llq_evaluator_open(out, runs_on, model._open(), struct))
        self._own(out[0], lib.llq_evaluator_close, runs_on)

    @classmethod
    def of_samples(cls, samples: Path, task: Path, directory: Path,
                   **options: Option) -> Evaluator:
        """Scores programs that exist already.

        Parameters
        ----------
        samples : path
            JSONL with ``task_id``, and ``completion`` or ``solution``.
        task, directory, **options
            As for `Evaluator`.
        """
        self = cls.__new__(cls)
        Handle.__init__(self)
        self._directory = directory
        struct, _kept = _options(task, directory,
                                 dict(options, samples=path(samples)))
        out = ffi.new("llq_evaluator **")
        check(lib.llq_evaluator_open_samples(out, struct))
        self._own(out[0], lib.llq_evaluator_close)
        return self

    def steps(self) -> Iterator[Progress]:
        """A step of the generator at a time, and verdicts that are ready."""
        return steps(self, lib.llq_evaluator_step)

    def result(self) -> dict[str, Any]:
        """The finished run's result.json."""
        with self._lock:
            out = ffi.new("const char **")
            check(lib.llq_evaluator_result(self._open(), out))
            found: dict[str, Any] = json.loads(text(out[0]))
            return found

    def run(self, progress: ProgressOption = False) -> Run:
        """Steps until all is scored. After Ctrl-C, the same call continues."""
        follow(self.steps(), progress, "evaluate")
        return Run(self._directory)


class Sweep(Handle):
    """The same evaluation over several formats, in one directory.

    A sweep that was interrupted continues when it is opened again.

    Parameters
    ----------
    model : Model
        Unquantized.
    task, directory : path
        As for `Evaluator`.
    schemes : sequence of str, optional
        The first is the base that others are compared with.
    methods : sequence of str, optional
        Quantization methods; ``["rtn"]`` by default.
    backend : Backend, optional
        By default one of its own.
    group_size : int
        Of w4a16-int; 0 = 128.
    sweep_options : dict, optional
        Any further field of ``llq_sweep_options``.
    **options
        Any field of ``llq_evaluator_options``.

    Examples
    --------
    >>> import llq, tempfile
    >>> with llq.Sweep(llq.Model("llq-micro"), "llq-micro",
    ...                tempfile.mkdtemp(), schemes=["bf16"], n_tasks=1) as s:
    ...     [row.name for row in s.run().rows]
    ['bf16']
    """

    def __init__(self, model: Model, task: Path, directory: Path, *,
                 schemes: Listed[str] | None = None,
                 methods: Listed[str] | None = None,
                 backend: Backend | None = None, group_size: int = 0,
                 sweep_options: dict[str, Option] | None = None,
                 **options: Option) -> None:
        backend = backend if backend is not None else Backend()
        super().__init__(backend._lock)
        self._directory = directory
        evaluation, _kept = _options(task, directory, options)
        struct, _more = fill(
            "llq_sweep_options", evaluation=evaluation, group_size=group_size,
            schemes=",".join(schemes) if schemes else None,
            methods=",".join(methods) if methods else None,
            **(sweep_options or {}))
        out = ffi.new("llq_sweep **")
        runs_on = backend._open()
        with self._lock:
            check(lib.llq_sweep_open(out, runs_on, model._open(), struct))
        self._own(out[0], lib.llq_sweep_close, runs_on)

    def steps(self) -> Iterator[Progress]:
        """A layer quantized, or a step of an evaluation, at a time."""
        return steps(self, lib.llq_sweep_step)

    def run(self, progress: ProgressOption = False) -> SweepResult:
        """Steps until done. After Ctrl-C, the same call continues."""
        follow(self.steps(), progress, "sweep")
        return SweepResult.read(self._directory)


def compare(a: Path | Run, b: Path | Run) -> Comparison:
    """Compares two finished runs of the same tasks, pair by pair.

    Parameters
    ----------
    a : path or Run
        The base.
    b : path or Run
        What to compare with it.
    """
    folders = [x.directory if isinstance(x, Run) else x for x in (a, b)]
    out = ffi.new("char **")
    check(lib.llq_compare(path(folders[0]), path(folders[1]), out))
    return Comparison.of(json.loads(text(ffi.gc(out[0], lib.llq_free))))


def report(directory: Path, format: str = "text", *, write: bool = False) -> str:
    """A sweep's report.

    Parameters
    ----------
    directory : path
        Holds a sweep.json.
    format : str
        ``"text"``, ``"markdown"``, ``"html"`` or ``"json"``.
    write : bool
        Write report.md and report.html into the directory as well.
    """
    out = ffi.new("llq_report **")
    check(lib.llq_report_open(out, path(directory)))
    pointer = ffi.gc(out[0], lib.llq_report_close)
    if write:
        check(lib.llq_report_write(pointer))
    shown = ffi.new("const char **")
    check(lib.llq_report_text(pointer, format.encode(), shown))
    return text(shown[0])
