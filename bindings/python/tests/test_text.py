# SPDX-License-Identifier: Apache-2.0
"""Tokens, text, logits, perplexity, quantization."""

import math

import numpy as np
import pytest

import llq

PROMPT = "def add(a, b):"
SHORT = llq.Sampling(n_tokens_max=16)


def test_text_survives_a_round_trip(model):
    tokenizer = model.tokenizer
    for text in ("", "def f(x):\n    return x", "naïve 漢字 🙂", "a\0b"):
        ids = tokenizer.encode(text)
        assert ids.dtype == np.int32
        assert tokenizer.decode(ids) == text


def test_encode_takes_flags(model):
    tokenizer = model.tokenizer
    plain = tokenizer.encode("x")
    assert tokenizer.encode("x", bos=True).tolist() == [tokenizer.bos, *plain]
    name = tokenizer.decode([tokenizer.bos], special=True)
    assert tokenizer.encode(name, special=True).tolist() == [tokenizer.bos]
    assert tokenizer.special(name) == tokenizer.bos
    assert tokenizer.special("<|nothing|>") is None
    assert len(tokenizer) == tokenizer.n_vocab == 2048


def test_ids_are_checked(model):
    with pytest.raises(llq.ArgumentError):
        model.tokenizer.decode([2048])
    with pytest.raises(ValueError):
        model.tokenizer.decode([-1])
    with pytest.raises(TypeError):
        model.tokenizer.decode([1.5])
    with pytest.raises(ValueError):
        model.tokenizer.decode([[1, 2]])


def test_a_stream_is_the_text(generator):
    whole = generator.generate(PROMPT, SHORT)
    parts = list(generator.stream(PROMPT, SHORT))
    assert "".join(parts) == whole.text and len(parts) > 1
    assert whole.stop_reason == "length" and len(whole.ids) == 16


def test_leaving_a_stream_ends_its_sequence(generator):
    for _ in generator.stream(PROMPT):
        break
    assert [step.what for step in generator.steps()] == ["0 running"]
    with pytest.raises(llq.ArgumentError):
        generator.get(10**6)


def test_greedy_follows_the_logits(generator, model):
    ids = model.tokenizer.encode(PROMPT, bos=True)
    logits = generator.logits(ids)
    first = generator.generate(ids, llq.Sampling(n_tokens_max=1)).ids[0]
    assert first == logits[-1].argmax()


def test_logits_write_to_what_they_are_given(generator, model):
    out = np.full((3, model.info.n_vocab), np.nan, np.float32)
    assert generator.logits([1, 2, 3], out=out) is out
    assert np.isfinite(out).all()
    with pytest.raises(ValueError, match="contiguous"):
        generator.logits([1, 2, 3], out=out.T)
    with pytest.raises(ValueError):
        generator.logits([1, 2], out=out)


def test_others_change_nothing(generator):
    alone = [generator.generate(p, SHORT).text for p in (PROMPT, "class A:")]
    both = generator.generate_all([PROMPT, "class A:"], SHORT)
    assert [g.text for g in both] == alone


def test_seeds_and_stops(generator):
    def draw(seed):
        return generator.generate(PROMPT, llq.Sampling(
            temperature=1.5, seed=seed, n_tokens_max=16)).text

    assert draw(1) == draw(1) != draw(2)
    text = generator.generate(PROMPT, SHORT).text
    stopped = generator.generate(
        PROMPT, llq.Sampling(n_tokens_max=16, stops=[text[4:8]]))
    assert stopped.stop_reason == "string"
    assert stopped.text == text[:text.index(text[4:8])]
    none = llq.Sampling(n_tokens_max=1, end_ids=[])
    assert generator.generate(PROMPT, none).stop_reason == "length"


def test_samples_of_one_prompt(generator):
    sampling = llq.Sampling(temperature=1.0, n_tokens_max=8)
    found = generator.generate_all([PROMPT], sampling, n_samples=3)
    assert len({g.text for g in found}) > 1


def test_perplexity_is_what_logits_say(generator, model, int4):
    text = "def add(a, b):\n    return a + b\n"
    ids = model.tokenizer.encode(text, bos=True)
    logits = generator.logits(ids).astype(np.float64)
    logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    nll = -logp[np.arange(len(ids) - 1), ids[1:]].mean()
    found = generator.perplexity(text)
    assert found.n_tokens == len(ids) - 1
    assert found.nll == pytest.approx(nll, rel=1e-6)
    assert math.isnan(found.kl)
    with llq.Generator(int4) as other:
        assert 0 < other.perplexity(text, base=generator).kl < 1


def test_perplexity_of_windows(generator, model):
    seen = []
    ids = np.arange(100) % model.info.n_vocab
    found = generator.perplexity(ids, n_window=30, progress=seen.append)
    assert [p.done for p in seen] == [30, 60, 90, 100]
    assert found.n_tokens == 96


def test_quantizing_shrinks_and_saves(model, int4, tmp_path):
    assert int4.info.scheme == "w4a16-int"
    assert int4.info.n_weight_bytes == model.bytes_in("w4a16-int")
    int4.save(tmp_path / "saved")
    with llq.Model(tmp_path / "saved") as again:
        assert again.info == int4.info
    int4.save(tmp_path / "gptq", "gptq", lossy=True)
    with llq.Model(tmp_path / "gptq") as again:
        assert again.info.scheme == "w4a16-int"
    assert "w4a16-int" in int4._repr_html_()


def test_calibration(model):
    ids = model.tokenizer.encode("def add(a, b):\n    return a + b\n" * 90)
    seen = []
    with llq.Quantizer(model, "w4a16-int", method="gptq", measure=1) as q:
        with pytest.raises(llq.StateError):
            q.take()
        q.calibrate(ids[:1024])
        made = q.run(seen.append)
        linears = q.linears()
    assert made.info.scheme == "w4a16-int"
    assert seen[-1].done == seen[-1].total and seen[-1].unit == "layers"
    assert len(linears) == 7 * model.info.n_layers
    assert all(0 < linear.error < linear.power for linear in linears)
