# SPDX-License-Identifier: Apache-2.0
"""The package as such: types, docstrings, notebooks."""

import ast
import inspect
import json
import os
import subprocess
import sys

import pytest

import llq

HERE = os.path.dirname(os.path.abspath(__file__))
NOTEBOOKS = os.path.join(HERE, "..", "notebooks")
NAMES = sorted(n for n in os.listdir(NOTEBOOKS) if n.endswith(".ipynb"))


def mypy(*arguments):
    pytest.importorskip("mypy")
    done = subprocess.run([sys.executable, "-m", "mypy", "--cache-dir",
                           os.devnull, *arguments], text=True,
                          stdout=subprocess.PIPE)
    assert done.returncode == 0, done.stdout


def test_types_are_strict(tmp_path):
    root = os.path.dirname(os.path.dirname(llq.__file__))
    mypy("--strict", "--disable-error-code", "import-untyped",
         os.path.join(root, "llq"), os.path.join(HERE, "user_script.py"))


def public(thing):
    for name, value in vars(thing).items():
        if name.startswith("_"):
            continue
        if inspect.isfunction(value) or isinstance(value, (property, classmethod)):
            yield name, value


def test_everything_public_has_a_docstring():
    missing = []
    for name in llq.__all__:
        thing = getattr(llq, name)
        if inspect.isclass(thing):
            missing += [f"{name}.{m}" for m, value in public(thing)
                        if not inspect.getdoc(value)]
        if not isinstance(thing, tuple) and not inspect.getdoc(thing):
            missing.append(name)
    assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_run_from_top_to_bottom(name, tmp_path, monkeypatch):
    """Each cell in one namespace; a last expression is shown as HTML."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")
    with open(os.path.join(NOTEBOOKS, name), encoding="utf-8") as file:
        notebook = json.load(file)
    assert notebook["nbformat"] == 4
    namespace = {"__name__": "__main__"}
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]), name)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), namespace)
        if last is not None:
            shown = eval(compile(ast.Expression(last.value), name, "eval"),
                         namespace)
            if hasattr(shown, "_repr_html_"):
                assert shown._repr_html_()


def test_there_are_three_notebooks():
    assert len(NAMES) == 3
