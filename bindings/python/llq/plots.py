# SPDX-License-Identifier: Apache-2.0
"""Plots of results, with matplotlib. Each draws on `ax`, or on a new figure,
and returns the axes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence as Listed
from dataclasses import dataclass
from typing import Any

from .model import Model
from .results import SweepResult


@dataclass(frozen=True)
class Hardware:
    """A device as a roofline sees it, by its maker's data sheet.

    Attributes
    ----------
    name : str
        Shown in the legend.
    bytes_per_second : float
        Of its memory.
    operations_per_second : float
        Dense, of the type that products are computed in.
    """

    name: str
    bytes_per_second: float
    operations_per_second: float


# From NVIDIA's data sheets of the A100 80 GB (SXM: 2,039 GB/s, 312 TFLOPS
# of dense BF16), the H100 (3.35 TB/s) and the H200 (4.8 TB/s); the latter two
# state 1,979 TFLOPS with sparsity, which is twice the dense rate.
A100 = Hardware("A100 SXM 80 GB", 2.039e12, 312e12)
H100 = Hardware("H100 SXM", 3.35e12, 989e12)
H200 = Hardware("H200 SXM", 4.8e12, 989e12)


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    import matplotlib.pyplot
    return matplotlib.pyplot.subplots()[1]


def tradeoff(sweep: SweepResult, x: str = "weight_bytes", ax: Any = None) -> Any:
    """Accuracy, with 95 % intervals, against bytes or speed.

    Parameters
    ----------
    sweep : SweepResult
        What to show.
    x : str
        ``"weight_bytes"`` or ``"tokens_per_second"``.
    ax : matplotlib axes, optional
        Where to draw.
    """
    if x not in ("weight_bytes", "tokens_per_second"):
        raise ValueError(f"cannot plot against {x!r}")
    ax = _axes(ax)
    for row in sweep.rows:
        at = getattr(row, x)
        if at is None:
            continue
        at = at / 2**20 if x == "weight_bytes" else at
        low, high = row.pass_at_1_ci95
        ax.errorbar(at, 100 * row.pass_at_1, capsize=3, fmt="o", label=row.name,
                    yerr=[[100 * max(0.0, row.pass_at_1 - low)],
                          [100 * max(0.0, high - row.pass_at_1)]])
    ax.set_xlabel("weights, MiB" if x == "weight_bytes" else "tokens a second")
    ax.set_ylabel("pass@1, %, with 95 % intervals")
    ax.set_title(f"{sweep.data['model']} on {sweep.data['task']}")
    ax.legend()
    return ax


def flips(sweep: SweepResult, ax: Any = None) -> Any:
    """The verdicts that each format changed, for the worse and the better.

    Parameters
    ----------
    sweep : SweepResult
        What to show.
    ax : matplotlib axes, optional
        Where to draw.
    """
    ax = _axes(ax)
    rows = [row for row in sweep.rows if row.comparison]
    names = [row.name for row in rows]
    lost = [-len(row.comparison.lost) for row in rows if row.comparison]
    gained = [len(row.comparison.gained) for row in rows if row.comparison]
    ax.barh(names, lost, color="tab:red", label="lost")
    ax.barh(names, gained, color="tab:green", label="gained")
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel("tasks whose verdict changed")
    ax.set_title(f"against {sweep.data['base']}")
    ax.legend()
    return ax


def roofline(model: Model, hardware: Iterable[Hardware],
             schemes: Listed[str] = ("bf16", "w4a16-int"),
             n_tokens: int = 1024, ax: Any = None) -> Any:
    """The most tokens a second that decoding can reach, by batch.

    Each step reads the weights once and every sequence's KV cache; each token
    takes two operations a parameter. The slower of the two is the bound.

    Parameters
    ----------
    model : Model
        Its shape is used, not its weights.
    hardware : iterable of Hardware
        A line for each and each scheme.
    schemes : sequence of str
        Of the weights; products are computed in the hardware's one type.
    n_tokens : int
        In each sequence's KV cache.
    ax : matplotlib axes, optional
        Where to draw.
    """
    ax = _axes(ax)
    info = model.info
    kv_bytes = info.n_kv_bytes / (2 if info.kv_cache else 1)
    batches = [2**i for i in range(11)]
    for device in hardware:
        for scheme in schemes:
            weights = model.bytes_in(scheme)
            rates = [batch / max(
                (weights + batch * n_tokens * kv_bytes)
                / device.bytes_per_second,
                2 * info.n_parameters * batch / device.operations_per_second)
                for batch in batches]
            ax.plot(batches, rates, label=f"{device.name}, {scheme}")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xlabel("sequences at once")
    ax.set_ylabel("tokens a second, at most")
    ax.legend()
    return ax
