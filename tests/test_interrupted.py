# SPDX-License-Identifier: Apache-2.0
"""`llq quantize` as a process that dies: killed at any moment it goes on where it was, and what it
leaves never opens as a model unless it is whole; a full disk is an error; and memory that does not
grow with the model's layers."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import oracle

if os.environ.get("LLQ_SANITIZERS") == "yes":
    oracle.skip_all("sanitizers have their own use of memory, and are slow")
LLQ = os.environ["LLQ_COMMAND"]
tap = oracle.Tap()
scratch = tempfile.TemporaryDirectory()


def path(*names):
    return os.path.join(scratch.name, *names)


def shape(n_layers, hidden=256, vocabulary=2048):
    """A model of random weights, by a file that says its shape."""
    name = path(f"shape-{n_layers}-{hidden}.json")
    with open(name, "w") as file:
        json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
                   "hidden_size": hidden, "intermediate_size": 4 * hidden,
                   "num_hidden_layers": n_layers, "num_attention_heads": hidden // 64,
                   "num_key_value_heads": hidden // 128, "vocab_size": vocabulary,
                   "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
                   "hidden_act": "silu", "torch_dtype": "bfloat16",
                   "tie_word_embeddings": True}, file)
    return "random:" + name


def command(model, out, method):
    return [LLQ, "quantize", model, path(out), "--scheme", "w4a16-int", "--method", method,
            "--calibration", "random", "--samples", "4", "--length", "64", "--threads", "1"]


def hashes(name):
    """Of all files of a directory."""
    return {file: hashlib.sha256(open(path(name, file), "rb").read()).hexdigest()
            for file in sorted(os.listdir(path(name)))}


def opens(name):
    return subprocess.run([LLQ, "info", path(name)], capture_output=True).returncode == 0


def layers_of(name):
    """Files of layers that were finished."""
    files = os.listdir(path(name)) if os.path.isdir(path(name)) else []
    return [f for f in files if f.startswith("quantized-layer-") and not f.endswith(".part")]


def kill(arguments, out, seconds):
    """Starts, kills after a while, or without one when a layer is finished, and says whether it
    was still running."""
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + seconds
    while process.poll() is None and (time.monotonic() < end if seconds else not layers_of(out)):
        time.sleep(0.001)
    process.kill()
    return process.wait() == -signal.SIGKILL


def killed(method):
    """Killed again and again, each time a little later, until it gets through."""
    model = shape(6)
    started = time.monotonic()
    subprocess.run(command(model, method + "-whole", method), check=True, capture_output=True)
    seconds = time.monotonic() - started
    whole = hashes(method + "-whole")
    n_killed, partial, layers = 0, [], 0
    out = method + "-killed"
    while n_killed < 40 and kill(command(model, out, method), out, seconds * n_killed / 8):
        n_killed += 1
        files = os.listdir(path(out)) if os.path.isdir(path(out)) else []
        layers = max(layers, len(layers_of(out)))
        partial.append("config.json" not in files and not opens(out)
                       or all(hashes(out).get(f) == whole[f] for f in whole))
    tap.check(n_killed > 1 and layers > 0,
              f"{method}: killed {n_killed} times, with layers that were finished", layers)
    tap.check(all(partial), f"{method}: what is left never looks like a model", partial)
    tap.check(hashes(out) == whole, f"{method}: in the end the files are the same",
              (hashes(out), whole))


def killed_after_a_layer():
    """In the middle of the second layer; the first is not made again."""
    model = shape(6)
    process = subprocess.Popen(command(model, "second", "gptq"), stderr=subprocess.DEVNULL)
    first = path("second", "quantized-layer-00000")
    while not os.path.exists(first) and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.wait()
    made = os.stat(first).st_mtime_ns
    kill_at = path("second", "quantized-layer-00002")
    process = subprocess.Popen(command(model, "second", "gptq"), stderr=subprocess.DEVNULL)
    while not os.path.exists(kill_at) and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.wait()
    tap.check(os.path.exists(first) and os.stat(first).st_mtime_ns == made,
              "a layer that was finished is not made again")


def full_disk():
    """A limit to the size of files, where a disk that is full would be."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit.n_bytes, limit.n_bytes))
    for what, limit.n_bytes in (("a layer's file", 100_000), ("the checkpoint", 2_000_000)):
        shutil.rmtree(path("full"), ignore_errors=True)
        run = subprocess.run(command("llq-micro", "full", "rtn"), capture_output=True, text=True,
                             preexec_fn=limit, restore_signals=False)
        named = path("full") in run.stderr and "File too large" in run.stderr
        left = [f for f in os.listdir(path("full")) if f.endswith(".part")]
        tap.check(run.returncode == 1 and named and not left and not opens("full"),
                  f"no room for {what}: an error that names the file, nothing half-written",
                  run.stderr + str(left))


def peak(n_layers, method, hidden):
    """Of a run's memory, in MiB; the model comes from a file, not from draws."""
    subprocess.run([LLQ, "quantize", shape(n_layers, hidden, 256), path("plain"), "--scheme",
                    "bf16"], check=True, capture_output=True)
    process = subprocess.Popen(command(path("plain"), "peak", method), stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    shutil.rmtree(path("plain"))
    shutil.rmtree(path("peak"))
    return usage.ru_maxrss / 1024 if status == 0 else float("inf")


# The least of up to three runs: threads that free later than usual add to one.
def memory(method, hidden):
    few, many = peak(8, method, hidden), peak(24, method, hidden)
    for _ in range(2):
        if many >= 1.2 * few:
            many = min(many, peak(24, method, hidden))
    layer = (2.5 + 12) * hidden * hidden * 2 / 2 ** 20
    tap.check(many < 1.2 * few, f"{method}: 24 layers take less than 1.2 times 8 layers' memory",
              (few, many))
    tap.note(f"{method}: {few:.0f} MiB for 8 layers, {many:.0f} for 24; in bf16 a layer has "
             f"{layer:.1f} MiB")


killed("rtn")
killed("gptq")
killed_after_a_layer()
full_disk()
memory("rtn", 768)
memory("gptq", 256)
sys.stdout.flush()
tap.done()
