# SPDX-License-Identifier: Apache-2.0
"""Result directories as dataclasses and data frames."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

Path = str | os.PathLike[str]
Interval = tuple[float, float]


def _read(*parts: Path) -> Any:
    with open(os.path.join(*parts), encoding="utf-8") as file:
        return json.load(file)


def _pair(values: list[float]) -> Interval:
    return values[0], values[1]


def _table(caption: str, head: list[str], rows: list[list[str]]) -> str:
    """An HTML table of text."""
    def line(tag: str, cells: list[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>"
                                for cell in cells) + "</tr>"

    return (f"<table><caption>{html.escape(caption)}</caption>"
            + line("th", head) + "".join(line("td", row) for row in rows)
            + "</table>")


@dataclass(frozen=True)
class Comparison:
    """Two runs of the same tasks, pair by pair.

    Attributes
    ----------
    difference : float
        pass@1 of the second, less that of the first.
    difference_ci95 : (float, float)
        Its 95 % interval.
    p : float
        Of the test that `test` names.
    lost, gained : list of str
        The tasks that flipped.
    recovery_percent : float or None
        Second / first.
    detectable_difference : float or None
        The smallest difference that this many tasks could have shown.
    data : dict
        All of the library's comparison.
    """

    difference: float
    difference_ci95: Interval
    p: float | None
    test: str
    lost: list[str]
    gained: list[str]
    recovery_percent: float | None
    detectable_difference: float | None
    data: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, data: dict[str, Any]) -> Comparison:
        """Of the library's JSON."""
        return cls(data["difference"], _pair(data["difference_ci95"]),
                   data.get("p"), data["test"], data["flips"]["lost"],
                   data["flips"]["gained"], data.get("recovery_percent"),
                   data.get("detectable_difference"), data)

    def _repr_html_(self) -> str:
        low, high = self.difference_ci95
        return _table("comparison", ["difference", "95 % interval", "p", "flips"],
                      [[f"{100 * self.difference:+.1f} points",
                        f"{100 * low:+.1f} to {100 * high:+.1f}",
                        "" if self.p is None else f"{self.p:.3g}",
                        f"-{len(self.lost)} +{len(self.gained)}"]])


class Run:
    """A run directory.

    Parameters
    ----------
    directory : path
        With manifest.json, samples.jsonl and, once finished, result.json.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What ran."""
        found: dict[str, Any] = _read(self.directory, "manifest.json")
        return found

    @cached_property
    def result(self) -> dict[str, Any]:
        """The summary."""
        found: dict[str, Any] = _read(self.directory, "result.json")
        return found

    @property
    def pass_at_1(self) -> float:
        """The part of the samples that passed."""
        return float(self.result["metrics"]["pass@1"])

    @property
    def pass_at_1_ci95(self) -> Interval:
        """Its 95 % interval."""
        return _pair(self.result["metrics"]["pass@1_ci95"])

    def samples(self) -> Iterator[dict[str, Any]]:
        """The samples' records, in the order of their verdicts."""
        file_name = os.path.join(self.directory, "samples.jsonl")
        with open(file_name, encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def frame(self) -> pandas.DataFrame:
        """The samples as a data frame; needs pandas."""
        import pandas
        return pandas.DataFrame(list(self.samples()))

    def __repr__(self) -> str:
        return f"Run({os.fspath(self.directory)!r})"

    def _repr_html_(self) -> str:
        low, high = self.pass_at_1_ci95
        return _table(os.fspath(self.directory), ["pass@1", "95 % interval"],
                      [[f"{100 * self.pass_at_1:.1f} %",
                        f"{100 * low:.1f} to {100 * high:.1f}"]])


@dataclass(frozen=True)
class SweepRow:
    """One format of a sweep; see doc/schemas/sweep.json."""

    name: str
    scheme: str
    method: str | None
    group_size: int
    directory: str
    pass_at_1: float
    pass_at_1_ci95: Interval
    weight_bytes: int
    tokens_per_second: float | None
    comparison: Comparison | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> SweepRow:
        """Of a row of sweep.json."""
        compared = row.get("comparison")
        return cls(row["name"], row["scheme"], row["method"], row["group_size"],
                   row["directory"], row["pass@1"], _pair(row["pass@1_ci95"]),
                   row["weight_bytes"], row.get("tokens_per_second"),
                   Comparison.of(compared) if compared else None)


@dataclass(frozen=True)
class SweepResult:
    """A sweep's table.

    Attributes
    ----------
    directory : str
        The sweep's.
    data : dict
        sweep.json.
    rows : list of SweepRow
        One for each format; the base is the first.
    """

    directory: str
    data: dict[str, Any] = field(repr=False)
    rows: list[SweepRow]

    @classmethod
    def read(cls, directory: Path) -> SweepResult:
        """Reads a sweep's directory."""
        data = _read(directory, "sweep.json")
        return cls(os.fspath(directory), data,
                   [SweepRow.of(row) for row in data["rows"]])

    def run(self, name: str) -> Run:
        """The run of the format of this name."""
        for row in self.rows:
            if row.name == name:
                return Run(os.path.join(self.directory, row.directory))
        raise KeyError(name)

    def frame(self) -> pandas.DataFrame:
        """The table as a data frame, by format; needs pandas."""
        import pandas
        rows = [{"format": row.name, "pass@1": row.pass_at_1,
                 "low": row.pass_at_1_ci95[0], "high": row.pass_at_1_ci95[1],
                 "difference": row.comparison and row.comparison.difference,
                 "p": row.comparison and row.comparison.p,
                 "lost": row.comparison and len(row.comparison.lost),
                 "gained": row.comparison and len(row.comparison.gained),
                 "weight_bytes": row.weight_bytes,
                 "tokens_per_second": row.tokens_per_second}
                for row in self.rows]
        return pandas.DataFrame(rows).set_index("format")

    def _repr_html_(self) -> str:
        head = ["format", "pass@1", "95 % interval", "difference", "p", "flips",
                "MiB", "tokens/s"]
        return _table(f"{self.data['model']} on {self.data['task']}", head,
                      [self._cells(row) for row in self.rows])

    @staticmethod
    def _cells(row: SweepRow) -> list[str]:
        low, high = row.pass_at_1_ci95
        c = row.comparison
        rate = row.tokens_per_second
        return [row.name, f"{100 * row.pass_at_1:.1f} %",
                f"{100 * low:.1f} to {100 * high:.1f}",
                f"{100 * c.difference:+.1f}" if c else "",
                f"{c.p:.3g}" if c and c.p is not None else "",
                f"-{len(c.lost)} +{len(c.gained)}" if c else "",
                f"{row.weight_bytes / 2**20:.2f}",
                "" if rate is None else f"{rate:.0f}"]
