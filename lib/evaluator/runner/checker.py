# SPDX-License-Identifier: Apache-2.0
# Checks programs that run elsewhere. For every job this process forks a fresh
# child, which runs the task's own code; no line of a program runs here.
import builtins
import json
import random
import resource
import sys
import typing
from posix import WIFSIGNALED, WTERMSIG, fork, waitpid

SHOWN = 60  # bytes of a call and of its result in a reason


class ProgramFailed(Exception):
    pass


# What a program raised is raised here as the same type if that is a built-in
# one, since a check may expect it.
def program_exception(kind, payload):
    name, _, message = payload.decode("utf-8", "replace").partition("\n")
    error = ProgramFailed(message)
    base = getattr(builtins, name, None)
    if kind == b"E" and isinstance(base, type) and issubclass(base, Exception):
        try:
            error = base(message)
        except TypeError:
            pass
    error.from_program = kind, payload
    return error


class Candidate:
    def __init__(self, name):
        self.__name__ = name
        self.n_calls = 0
        self.shown = ""

    def __call__(self, *args, **kwargs):
        self.n_calls += 1
        number = (self.n_calls & 0xFFFFFFFF).to_bytes(4, "big")
        out = bytearray(number)
        encode((args, kwargs), out)
        send(b"C", bytes(out))
        kind, payload = receive()
        if kind == b"A":
            _exit(0)
        if kind not in (b"R", b"E", b"M", b"Q", b"X", b"B") or (
                payload[:4] != number):
            finish(b"F", "out of turn")
        if kind != b"R":
            raise program_exception(kind, payload[4:])
        try:
            result = decode(payload[4:])
        except (ValueError, TypeError, OverflowError):
            finish(b"F", "not an answer")
        self.remember(args, result, len(out), len(payload))
        return result

    def remember(self, args, result, n_args, n_result):
        self.shown = ""
        if n_args < 4 * SHOWN and n_result < 4 * SHOWN:
            call = ", ".join(map(repr, args))
            if len(call) <= SHOWN:
                self.shown = "%s(%s) returned %s" % (
                    self.__name__, call, repr(result)[:SHOWN])


def finish(kind, detail=""):
    detail = detail if isinstance(detail, bytes) else (
        detail.encode("utf-8", "replace"))
    send(b"V", kind + detail[:400])
    _exit(0)


# Helpers that the prompt defines are part of the check: some checks call them.
def run_prompt(prompt, scope):
    for source in (prompt, prompt + "\n    pass\n"):
        try:
            return exec(compile(source, "<prompt>", "exec"), scope)
        except SyntaxError:
            pass


def run_test(job, candidate, scope):
    exec(compile(job["test"], "<test>", "exec"), scope)
    return scope["check"]


def run(job):
    limit = int(job["cpu_seconds"])
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    random.seed(job["task_id"])
    entry_point = job["entry_point"]
    candidate = Candidate(entry_point)
    scope = {}
    try:
        run_prompt(job["prompt"], scope)
        scope[entry_point] = candidate
        if job["check"] == "plus":
            check = plus_check(job)
        else:
            check = run_test(job, candidate, scope)
    except Exception as error:
        finish(b"K", describe(error).replace(b"\n", b": "))
    try:
        check(candidate)
    except (NotPlain, TooLarge):
        finish(b"K", "calls with what is not plain data")
    except MemoryError:
        finish(b"B")
    except BaseException as error:
        kind, detail = getattr(error, "from_program", (b"W", b""))
        if kind == b"W":
            detail = candidate.shown.encode("utf-8", "replace")
            if not isinstance(error, AssertionError):
                detail = describe(error).replace(b"\n", b": ")
        finish(kind, detail)
    finish(b"P")


def read_job(payload):
    fields = {}
    while payload:
        pair = []
        for _ in range(2):
            n = int.from_bytes(payload[:4], "big")
            pair.append(payload[4:4 + n].decode())
            payload = payload[4 + n:]
        fields[pair[0]] = pair[1]
    return fields


def main():
    closerange(4, 1 << 16)
    sys.set_int_max_str_digits(0)
    send(b"H", b"")
    while True:
        kind, payload = receive()
        if kind != b"J":
            continue
        child = fork()
        if child == 0:
            run(read_job(payload))
        _, status = waitpid(child, 0)
        send(b"D", bytes([WTERMSIG(status) if WIFSIGNALED(status) else 0]))


main()
