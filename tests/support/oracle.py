# SPDX-License-Identifier: Apache-2.0
"""What the tests against other packages share: TAP, skips, the library.

A test is tests/oracle_<area>.py. It runs under $LLQ_TEST_PYTHON, and skips
where that lacks a package:

    import oracle
    tokenizers = oracle.need("tokenizers")
    llq = oracle.library()
    tap = oracle.Tap()
    tap.check(llq.llq_version() != b"", "the library has a version")
    tap.done()
"""

import ctypes
import importlib
import os
import sys


def skip_all(reason):
    """Ends the program with all its tests skipped, for the reason shown."""
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def need(name):
    """Imports a package; without it, all tests are skipped."""
    try:
        return importlib.import_module(name)
    except ImportError:
        skip_all(f"this Python has no {name}; set LLQ_TEST_PYTHON")


def data(name):
    """The path of a file of the public test data; without it, all tests are
    skipped."""
    path = os.path.join(os.environ.get("LLQ_TEST_DATA", "."), name)
    if not os.path.exists(path):
        skip_all(f"{path} is not here")
    return path


def library():
    """The libllq of this build, by ctypes. Results are int unless set."""
    if os.environ.get("LLQ_SANITIZERS") == "yes":
        skip_all("Python cannot load a library built with sanitizers")
    folder = os.environ.get("top_builddir", ".")
    llq = ctypes.CDLL(os.path.join(folder, ".libs", "libllq.so.0"))
    for name in ("llq_version", "llq_status_name", "llq_error_message"):
        getattr(llq, name).restype = ctypes.c_char_p
    llq.llq_free.argtypes = [ctypes.c_void_p]
    llq.llq_free.restype = None
    return llq


def call(llq, name, *arguments):
    """Calls a function that returns a status; raises on failure."""
    status = getattr(llq, name)(*arguments)
    if status < 0:
        kind = llq.llq_status_name(status).decode()
        raise RuntimeError(f"{name}: {kind}: {llq.llq_error_message()}")
    return status


class Tap:
    """Prints one TAP line for each check."""

    def __init__(self):
        self.n = 0
        self.n_failed = 0

    def check(self, passed, what, detail=""):
        self.n += 1
        self.n_failed += not passed
        print(f"{'ok' if passed else 'not ok'} {self.n} - {what}", flush=True)
        if not passed and detail:
            for line in str(detail).splitlines():
                print(f"# {line}", flush=True)

    def note(self, line):
        print(f"# {line}", flush=True)

    def done(self):
        print(f"1..{self.n}")
        sys.exit(self.n_failed > 0)
