# SPDX-License-Identifier: Apache-2.0
# Runs a program from the other side of the channel, and answers calls to its
# entry point. Everything from the program's first line on is untrusted, this
# file included: what is sent is an answer, never a verdict.


def fault_kind(error):
    if isinstance(error, SystemExit):
        return b"Q"
    if isinstance(error, MemoryError):
        return b"M"
    return b"E"


# exec() as the original harness does it: with an empty scope, so that a block
# under `if __name__ == "__main__"` does not run.
def load(text, scope):
    try:
        code = compile(text.decode("utf-8", "surrogateescape"), "<program>",
                       "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        return b"S", describe(error)
    exec(code, scope)
    return None


def load_program(text, entry_point, scope):
    try:
        fault = load(text, scope)
        if fault is None and entry_point not in scope:
            raise NameError("name '%s' is not defined" % entry_point)
        return fault
    except BaseException as error:
        return fault_kind(error), describe(error)


def answer(function, payload):
    number, data = payload[:4], payload[4:]
    args, kwargs = decode(data)
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        return fault_kind(error), number + describe(error)
    out = bytearray(number)
    try:
        encode(result, out)
        return b"R", bytes(out)
    except TooLarge:
        return b"B", number
    except MemoryError:
        return b"M", number
    except NotPlain as error:
        return b"X", number + str(error).encode("utf-8", "replace")
    except BaseException:
        return b"X", number + type(result).__name__.encode("utf-8", "replace")


# The original harness's way: program and check in one process, whose word is
# taken for it.
def run_in_process(text):
    try:
        fault = load(text, {})
    except AssertionError as error:
        fault = b"W", describe(error)
    except BaseException as error:
        fault = fault_kind(error), describe(error)
    send(*(fault or (b"P", b"")))


def main():
    closerange(4, 1 << 16)
    send(b"H", b"")
    kind, payload = receive()
    if kind == b"I":
        return run_in_process(payload)
    entry_point, _, text = payload.partition(b"\0")
    scope = {}
    entry_point = entry_point.decode()
    fault = load_program(text, entry_point, scope)
    if fault:
        return send(*fault)
    send(b"L", b"")
    function = scope[entry_point]
    while True:
        kind, payload = receive()
        send(*answer(function, payload))


main()
receive()
