# SPDX-License-Identifier: Apache-2.0
"""Compiles llq._llq against the libllq that pkg-config finds.

The declarations are those that libllq installs, cut from its headers; nothing
is declared by hand.
"""

import os
import shlex
import subprocess

import cffi


def pkg_config(*arguments):
    """What pkg-config says about libllq."""
    program = os.environ.get("PKG_CONFIG", "pkg-config")
    try:
        return subprocess.run([program, *arguments, "llq"], check=True,
                              text=True, stdout=subprocess.PIPE).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"libllq was not found ({error}); install it, or set "
                         "PKG_CONFIG_PATH to the folder of its llq.pc") from None


def flags(option, prefix):
    """The words of one of pkg-config's answers that begin with a prefix."""
    words = shlex.split(pkg_config(option))
    return [word[len(prefix):] for word in words if word.startswith(prefix)]


def run_path():
    """Where to look for libllq at run time: nowhere if the system knows.

    Those who build for another place than this say which, or nothing, in
    LLQ_RUN_PATH: packages of distributions, and wheels that carry libllq.
    """
    if "LLQ_RUN_PATH" in os.environ:
        return list(filter(None, os.environ["LLQ_RUN_PATH"].split(":")))
    folder = pkg_config("--variable=libdir")
    if folder.startswith(("/usr/lib", "/lib")):
        return []
    return [folder]


with open(pkg_config("--variable=cdef"), encoding="utf-8") as file:
    declarations = file.read()

builder = cffi.FFI()
builder.cdef(declarations)
builder.cdef("""
extern "Python" void llq_python_log(void *user, int level, const char *line);
""")
builder.set_source(
    "llq._llq", "#include <llq/llq.h>",
    libraries=flags("--libs", "-l"),
    library_dirs=flags("--libs", "-L"),
    include_dirs=flags("--cflags", "-I"),
    runtime_library_dirs=run_path(),
)

if __name__ == "__main__":
    builder.compile(verbose=True)
