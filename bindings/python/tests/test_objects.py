# SPDX-License-Identifier: Apache-2.0
"""Objects as such: errors, closing, layout, threads."""

import gc
import logging
import os
import resource
import threading

import numpy as np
import pytest

import llq
from llq import _native
from llq._llq import ffi, lib

SHORT = llq.Sampling(n_tokens_max=12)


def test_a_missing_model_is_named():
    with pytest.raises(llq.FileError, match="/nowhere") as caught:
        llq.Model("/nowhere")
    assert caught.value.name == "LLQ_ERROR_IO"
    assert isinstance(caught.value, OSError)


def test_a_wrong_scheme_is_named(model):
    with pytest.raises(llq.ArgumentError, match="w5a5"):
        model.quantize("w5a5")


def test_every_code_has_an_exception_of_its_own():
    codes = [name for name in dir(lib) if name.startswith("LLQ_ERROR_")]
    kinds = set()
    for name in codes:
        with pytest.raises(llq.Error) as caught:
            _native.check(getattr(lib, name))
        assert caught.value.name == name
        kinds.add(type(caught.value))
    assert len(kinds) == len(codes) and llq.Error not in kinds


def test_an_unknown_option_is_refused(model):
    with pytest.raises(TypeError, match="n_sequenzes"):
        llq.Generator(model, n_sequenzes=3)


def test_a_closed_object_says_so(model):
    with llq.Generator(model) as generator:
        pass
    generator.close()
    assert generator.closed
    with pytest.raises(llq.StateError, match="Generator is closed"):
        generator.generate("def f():")


def test_parents_may_be_closed_first():
    backend, model = llq.Backend(), llq.Model("llq-micro")
    tokenizer = model.tokenizer
    generator = llq.Generator(model, backend)
    backend.close()
    model.close()
    del backend, model
    gc.collect()
    assert generator.generate("def f():", SHORT).ids.size == 12
    assert tokenizer.decode(tokenizer.encode("def")) == "def"


def test_a_struct_that_is_larger_here_is_refused(monkeypatch):
    class Older:
        llq_version = lib.llq_version

        @staticmethod
        def llq_sizeof(name):
            return lib.llq_sizeof(name) - 8 * (name == b"llq_sampling")

    monkeypatch.setattr(_native, "lib", Older)
    with pytest.raises(llq.VersionError, match="llq_sampling has"):
        _native.check_layout()


def test_the_log_goes_to_logging(caplog):
    with caplog.at_level(logging.INFO, "llq"):
        lib.llq_python_log(ffi.NULL, lib.LLQ_LOG_WARNING, b"a line")
    assert ("llq", logging.WARNING, "a line") in caplog.record_tuples


def test_a_thousand_objects_leak_nothing(model):
    def once():
        llq.Quantizer(model, "w4a16-int").close()
        with pytest.raises(llq.Error):
            llq.Tokenizer("/nowhere")
        _ = llq.Backend(n_threads=1), model.tokenizer.encode("def f():")

    for _ in range(100):
        once()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = len(os.listdir("/proc/self/fd"))
    for _ in range(1000):
        once()
    gc.collect()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 8192, f"{grown} KiB"
    assert len(os.listdir("/proc/self/fd")) == files


def test_two_threads_generate_what_one_does(model, generator):
    prompts = ["def add(a, b):", "def twice(text):"]
    alone = [generator.generate(p, SHORT).ids for p in prompts]
    together = {}

    def work(prompt):
        with llq.Generator(model, llq.Backend(n_threads=1)) as own:
            together[prompt] = own.generate(prompt, SHORT).ids

    threads = [threading.Thread(target=work, args=(p,)) for p in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for prompt, ids in zip(prompts, alone):
        assert np.array_equal(together[prompt], ids)


def test_a_long_call_lets_other_threads_run(model, generator):
    ids = np.arange(1000, dtype=np.int32)
    started, done, counted = threading.Event(), threading.Event(), 0

    def work():
        started.set()
        generator.logits(ids)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    while not done.is_set():
        counted += 1
    thread.join()
    assert counted > 1000
