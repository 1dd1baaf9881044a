# SPDX-License-Identifier: Apache-2.0
# HumanEval+: base and plus inputs, with answers from the canonical solution,
# compared by EvalPlus's rules (evalplus/eval/__init__.py, v0.3).
RTOL = 1e-7


def are_floats(value):
    if isinstance(value, (list, tuple)) and value:
        return all(isinstance(item, float) for item in value)
    return isinstance(value, float)


# numpy.allclose() for what plain data it takes; False for the rest.
def all_close(found, expected, atol):
    if isinstance(expected, (list, tuple)):
        return (isinstance(found, (list, tuple))
                and len(found) == len(expected)
                and all(all_close(*pair, atol) for pair in zip(found, expected)))
    numbers = (int, float, complex)
    if not (isinstance(found, numbers) and isinstance(expected, numbers)):
        return False
    if found == expected:
        return True
    distance = abs(found - expected)
    return distance <= atol + RTOL * abs(expected) and (
        abs(expected) != float("inf"))


def polynomial(coefficients, x):
    return sum(c * x ** i for i, c in enumerate(coefficients))


def compare(found, expected, atol):
    if found == expected:
        return True
    if atol == 0 or type(found) is not type(expected):
        return False
    return all_close(found, expected, atol)


def plus_check(job):
    scope = {}
    exec(job["prompt"] + job["canonical_solution"], scope)
    solution = scope[job["entry_point"]]
    sets = json.loads(job["base_input"]), json.loads(job["plus_input"])
    find_zero = job["entry_point"] == "find_zero"

    def check_set(candidate, inputs, atol):
        for arguments in inputs:
            found = candidate(*arguments)
            if find_zero:
                assert abs(polynomial(*arguments, found)) <= atol
                continue
            expected = solution(*arguments)
            if atol == 0 and are_floats(expected):
                atol = 1e-6  # and for the inputs that follow, as EvalPlus does
            assert compare(found, expected, atol)

    def check(candidate):
        for inputs in sets:
            check_set(candidate, inputs, float(job["atol"]))

    return check
