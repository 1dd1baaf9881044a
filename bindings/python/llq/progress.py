# SPDX-License-Identifier: Apache-2.0
"""Progress bars over steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from ._native import Progress

#: True = a tqdm bar, False = none, or a function that gets each Progress.
ProgressOption = bool | Callable[[Progress], object]


class _Bar:
    """A tqdm bar, of notebooks or terminals."""

    def __init__(self, title: str) -> None:
        from tqdm.auto import tqdm
        self._bar: Any = tqdm(desc=title, total=0)

    def __call__(self, progress: Progress) -> None:
        bar = self._bar
        bar.total = progress.total or None
        bar.unit = " " + progress.unit
        bar.set_postfix_str(progress.what, refresh=False)
        bar.update(progress.done - bar.n)

    def close(self) -> None:
        self._bar.close()


def follow(steps: Iterator[Progress], show: ProgressOption, title: str) -> None:
    """Runs all steps and shows them; closes the bar on Ctrl-C as well."""
    if show is True:
        with closing(_Bar(title)) as bar:
            for progress in steps:
                bar(progress)
        return
    for progress in steps:
        if callable(show):
            show(progress)
