# SPDX-License-Identifier: Apache-2.0
"""Runs, sweeps, comparisons, plots, and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys

import pytest

import llq


def test_a_sweep_has_its_rows(sweep):
    base, int4 = sweep.rows
    assert (base.name, base.comparison) == ("bf16", None)
    assert int4.weight_bytes < base.weight_bytes
    low, high = base.pass_at_1_ci95
    assert 0 <= low <= base.pass_at_1 <= high <= 1
    html = sweep._repr_html_()
    assert html.count("<tr>") == 3 and "w4a16-int-rtn" in html


def test_a_run_is_its_samples(sweep):
    run = sweep.run("bf16")
    samples = list(run.samples())
    assert len(samples) == 6
    assert run.pass_at_1 == pytest.approx(
        sum(s["passed"] for s in samples) / 6)
    assert run.manifest["run"]["scheme"] == "bf16"
    assert "pass@1" in run._repr_html_()
    with pytest.raises(KeyError):
        sweep.run("bf17")


def test_compare_agrees_with_the_sweep(sweep):
    found = llq.compare(sweep.run("bf16"), sweep.run("w4a16-int-rtn"))
    assert found == sweep.rows[1].comparison
    assert len(found.gained) - len(found.lost) == \
        pytest.approx(6 * found.difference)
    assert "points" in found._repr_html_()


def test_frames(sweep):
    pandas = pytest.importorskip("pandas")
    table = sweep.frame()
    assert list(table.index) == ["bf16", "w4a16-int-rtn"]
    assert table["weight_bytes"].is_monotonic_decreasing
    samples = sweep.run("bf16").frame()
    assert isinstance(samples, pandas.DataFrame) and len(samples) == 6


def test_reports(sweep):
    assert "w4a16-int-rtn" in llq.report(sweep.directory)
    json.loads(llq.report(sweep.directory, "json"))
    llq.report(sweep.directory, write=True)
    assert os.path.exists(os.path.join(sweep.directory, "report.html"))
    with pytest.raises(llq.ArgumentError):
        llq.report(sweep.directory, "odt")


def test_scoring_what_exists(sweep, tmp_path):
    samples = os.path.join(sweep.directory, "bf16", "samples.jsonl")
    with llq.Evaluator.of_samples(samples, "llq-micro", tmp_path / "score",
                                  n_tasks=6) as evaluator:
        run = evaluator.run()
        assert evaluator.result()["metrics"] == run.result["metrics"]
    assert run.pass_at_1 == sweep.run("bf16").pass_at_1


def test_plots(sweep, model, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    for x in ("weight_bytes", "tokens_per_second"):
        ax = llq.plots.tradeoff(sweep, x)
        assert [t.get_text() for t in ax.get_legend().get_texts()] == \
            ["bf16", "w4a16-int-rtn"]
    widths = [p.get_width() for p in llq.plots.flips(sweep).patches]
    compared = sweep.rows[1].comparison
    assert widths == [-len(compared.lost), len(compared.gained)]
    ax = llq.plots.roofline(model, [llq.plots.A100, llq.plots.H100])
    assert len(ax.lines) == 4
    bf16, int4 = (line.get_ydata()[0] for line in ax.lines[:2])
    assert int4 > bf16
    ax.figure.savefig(tmp_path / "roofline.png")
    with pytest.raises(ValueError):
        llq.plots.tradeoff(sweep, "colour")


def test_a_bar_shows_progress(model, capsys):
    pytest.importorskip("tqdm")
    llq.Quantizer(model, "w8a8-int").run(progress=True)
    assert "quantize" in capsys.readouterr().err


PROGRAM = """
import signal, sys, llq
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
model = llq.Model("llq-micro")
with llq.Evaluator(model, "llq-micro", sys.argv[1], n_tasks=16) as evaluator:
    try:
        evaluator.run(lambda p: print(p.done, flush=True))
    except KeyboardInterrupt:
        sys.exit(3)
"""


def start(folder):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, folder], text=True,
                            stdout=subprocess.PIPE, start_new_session=True)


def test_ctrl_c_stops_and_the_same_call_continues(tmp_path):
    folder = str(tmp_path / "run")
    with start(folder) as first:
        for line in first.stdout:
            if int(line) >= 2:
                os.killpg(first.pid, signal.SIGINT)  # as a terminal does
                break
        first.stdout.read()
    assert first.returncode == 3
    kept = list(llq.Run(folder).samples())
    assert 2 <= len(kept) < 16
    with start(folder) as second:
        second.stdout.read()
    assert second.returncode == 0
    samples = list(llq.Run(folder).samples())
    assert samples[:len(kept)] == kept and len(samples) == 16
