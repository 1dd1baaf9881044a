# SPDX-License-Identifier: Apache-2.0
import pytest

import llq


@pytest.fixture(scope="session")
def model():
    return llq.Model("llq-micro")


@pytest.fixture(scope="session")
def int4(model):
    return model.quantize("w4a16-int")


@pytest.fixture(scope="session")
def generator(model):
    with llq.Generator(model, llq.Backend(n_threads=1)) as opened:
        yield opened


@pytest.fixture(scope="session")
def sweep(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    with llq.Sweep(model, "llq-micro", folder, schemes=["bf16", "w4a16-int"],
                   n_tasks=6) as opened:
        return opened.run()
