#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""import llq: installs the Python binding against this build with pip, and
runs its own tests, bindings/python/tests/, as TAP."""

import os
import shutil
import subprocess
import sys
import tempfile

import oracle

for package in ("cffi", "numpy", "setuptools", "pip"):
    oracle.need(package)
pytest = oracle.need("pytest")
if os.environ.get("LLQ_SANITIZERS") == "yes":
    oracle.skip_all("Python cannot load a library built with sanitizers")

TOP = os.path.abspath(os.environ["top_srcdir"])
BUILD = os.path.abspath(os.environ["top_builddir"])
# distcheck has the same binding before it: what is asked is that it installs.
QUICK = ["-k", "round_trip or missing_model or struct_that"] \
    if os.environ.get("LLQ_TEST_QUICK") else []


class Reporter:
    """Prints pytest's outcomes as TAP."""

    def __init__(self, tap):
        self.tap = tap

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.split("tests/")[-1]
        if report.skipped:
            self.tap.n += 1
            print(f"ok {self.tap.n} - {name} # SKIP {report.longrepr[2]}",
                  flush=True)
        elif report.when == "call" or report.failed:
            self.tap.check(report.passed, name, report.longreprtext)

    def pytest_collectreport(self, report):
        if report.failed:
            self.tap.check(False, report.nodeid, report.longreprtext)


def install(scratch):
    """pip install, as a user does; builds nothing in the source folder, and
    takes nothing that was built there, maybe to look for libllq elsewhere."""
    source, target = (os.path.join(scratch, n) for n in ("source", "target"))
    shutil.copytree(os.path.join(TOP, "bindings", "python"), source,
                    copy_function=shutil.copyfile,
                    ignore=shutil.ignore_patterns("build", "*.egg-info"))
    os.chmod(source, 0o755)
    for folder, _, _ in os.walk(source):
        os.chmod(folder, 0o755)
    environment = dict(os.environ,
                       PKG_CONFIG_PATH=os.path.join(BUILD, "packaging"))
    for name in ("LLQ_RUN_PATH", "PYTHONPATH"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-build-isolation",
         "--no-deps", "--no-index", "--target", target, source],
        env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    return done, target


tap = oracle.Tap()
with tempfile.TemporaryDirectory() as scratch:
    done, target = install(scratch)
    tap.check(done.returncode == 0, "pip installs bindings/python", done.stdout)
    if done.returncode == 0:
        sys.path.insert(0, target)
        os.environ["PYTHONPATH"] = target
        pytest.main(["-p", "no:cacheprovider", "-p", "no:terminal", *QUICK,
                     "--rootdir", scratch,
                     "--basetemp", os.path.join(scratch, "tmp"),
                     os.path.join(TOP, "bindings", "python", "tests")],
                    plugins=[Reporter(tap)])
        tap.check(tap.n > (3 if QUICK else 30), "the tests ran")
tap.done()
