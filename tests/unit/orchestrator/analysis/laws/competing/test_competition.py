"""The competing laws: against the plain likelihood and a general optimiser, and which of them is said to describe the runs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from tausweep.orchestrator.analysis.laws.competing.competition import REJECTED, compete
from tausweep.orchestrator.analysis.laws.power_laws import crossed, responses_of
from tausweep.orchestrator.analysis.statistics.censored_regression import fit_censored
from tests.unit.orchestrator.analysis.laws.planted_runs import planted

SIZES = (5, 10, 20, 40, 80, 160)
TAU_GEN = 100.0


def tau_of(law, theta, n, W, p):
    """The laws written out, in tau."""
    with np.errstate(all="ignore"):
        if law.startswith("a·n"):
            return theta[0] * n ** theta[1] * W ** -(theta[2] if "W" in law else 0.0)
        if law.startswith("tau_gen"):
            return TAU_GEN + theta[0] * n ** theta[1] * W ** -(theta[2] if "W" in law else 0.0)
        if "n*" not in law:
            return theta[1] + theta[0] * n * W ** -(theta[2] if "W" in law else 0.0)
        place = 2 if law.startswith("tau_0") else 1
        n_star = theta[place] * p ** theta[place + 1] if "p^b" in law else theta[place] + 0 * p
        late = theta[0] * n / (1 - n / n_star)
        return np.where(n < n_star, late + (theta[1] if place == 2 else 0.0), 1e30)


def minus_log_likelihood(law, theta, sigma, runs):
    """The likelihood written out: densities of what was seen, probabilities of what lies beyond its bound."""
    n, W, p = (np.array([getattr(run, name) for run in runs], dtype=np.float64) for name in ("n", "W", "p"))
    at = [run.crossings["f_mem"] for run in runs]
    seen = np.array([crossing.censored is None for crossing in at])
    value = np.log([crossing.tau if crossing.tau is not None else crossing.bound for crossing in at])
    with np.errstate(all="ignore"):
        expected = np.log(tau_of(law, theta, n, W, p))
        terms = np.where(
            seen, stats.norm.logpdf(value, expected, sigma), stats.norm.logsf(value, expected, sigma)
        )
    total = terms.sum()
    return -total if np.isfinite(total) else 1e9


STUDIES = {
    "one width, censored": planted(lambda n, _: 300 + 25 * n / (1 - n / 100), budget=9000, noise=0.15, sizes=SIZES),
    "three widths": planted(
        lambda n, p: 200 + 25 * n / (1 - n / (0.02 * p)), budget=9000, noise=0.15, sizes=SIZES, widths=(4, 8, 16)
    ),
}  # fmt: skip


@pytest.mark.parametrize("runs", STUDIES.values(), ids=STUDIES)
@pytest.mark.parametrize("place", range(5))
def test_every_law_is_at_the_maximum_of_the_plain_likelihood(runs, place):
    law = compete(runs, "f_mem", "gen", 0.95).laws[place]
    assert law.reason is None, law.reason
    theta = np.array([e.estimate for name, e in law.parameters.items() if not name.startswith("n_star(")])
    own = minus_log_likelihood(law.law, theta, law.sigma, runs)
    assert own == pytest.approx(-law.log_likelihood, abs=1e-4)

    def objective(shift):
        return minus_log_likelihood(law.law, theta * np.exp(shift[:-1]), law.sigma * np.exp(shift[-1]), runs)

    for start in (np.zeros(len(theta) + 1), np.random.default_rng(0).normal(0, 0.05, len(theta) + 1)):
        free = optimize.minimize(objective, start, method="Nelder-Mead", options={"maxiter": 800})  # fmt: skip
        assert free.fun >= own - 2e-3


def test_an_interval_ends_where_the_plain_likelihood_has_fallen_by_the_threshold():
    runs = STUDIES["one width, censored"]
    law = next(one for one in compete(runs, "f_mem", "gen", 0.95).laws if one.law == "tau_0 + c·n/(1 − n/n*)")
    seen = sum(run.crossings["f_mem"].tau is not None for run in runs)
    allowed = seen / 2 * np.log1p(stats.t.ppf(0.975, seen - 3) ** 2 / (seen - 3))
    c, tau_0, n_star = (law.parameters[name] for name in ("c", "tau_0", "n_star"))
    for end in (n_star.low, n_star.high):
        profile = optimize.minimize(
            lambda x, end=end: minus_log_likelihood(law.law, [*np.exp(x[:2]), end], np.exp(x[2]), runs),
            np.log([c.estimate, tau_0.estimate, law.sigma]),
            method="Nelder-Mead",
            options={"maxiter": 2000, "xatol": 1e-5, "fatol": 1e-6},
        )
        assert profile.fun + law.log_likelihood == pytest.approx(allowed, abs=0.03)


def test_the_power_law_is_that_of_the_linear_regression():
    runs = STUDIES["one width, censored"]
    X = np.column_stack([np.ones(len(runs)), np.log([run.n for run in runs])])
    linear = fit_censored(X, responses_of(crossed(runs, "f_mem")))
    power = next(law for law in compete(runs, "f_mem", "gen", 0.95).laws if law.law == "a·n^alpha")
    assert power.log_likelihood == pytest.approx(linear.log_likelihood, abs=1e-6)
    assert power.parameters["alpha"].estimate == pytest.approx(linear.beta[1], rel=1e-3)


@pytest.mark.parametrize(
    ("tau", "best"),
    [
        (lambda n, _: 30 * n**0.7, "a·n^alpha"),
        (lambda n, _: 400 + 25 * n, "tau_0 + c·n"),
        (lambda n, _: TAU_GEN + 2 * n**1.6, "tau_gen + a·n^alpha"),
        (lambda n, _: 25 * n / (1 - n / 200), "c·n/(1 − n/n*)"),
        (lambda n, _: 400 + 25 * n / (1 - n / 200), "tau_0 + c·n/(1 − n/n*)"),
    ],
)
def test_the_planted_law_is_not_rejected_and_wins_where_runs_are_many(tau, best):
    runs = planted(tau, budget=1e6, noise=0.03, sizes=SIZES, seeds=4)
    competition = compete(runs, "f_mem", "gen", 0.95)
    assert next(law for law in competition.laws if law.law == best).delta_aicc <= 3
    assert competition.laws[0].law.endswith(best) or competition.laws[0].delta_aicc == 0
    assert competition.laws[0].delta_aicc == 0
    assert all(law.rejected == (law.delta_aicc > REJECTED) for law in competition.laws)


def test_the_joint_law_gives_the_line_of_every_width():
    competition = compete(STUDIES["three widths"], "f_mem", "gen", 0.95)
    best = competition.laws[0]
    assert best.has_line
    assert best.parameters["b"].low < 1 < best.parameters["b"].high
    for p in competition.p_values:
        at = best.parameters[f"n_star(p = {p})"]
        assert at.low < 0.02 * p < (at.high or np.inf)


def test_the_verdict_names_the_best_law_and_those_that_are_rejected():
    verdict = compete(planted(lambda n, _: 400 + 25 * n, budget=1e6, noise=0.03, sizes=SIZES), "f_mem", "gen", 0.95).verdict  # fmt: skip
    assert verdict.startswith("tau_0 + c·n")
    assert "rejected: " in verdict
    assert "a·n^alpha" in verdict.split("rejected: ")[-1]


def test_what_too_few_runs_cannot_tell_is_a_reason_and_not_a_number():
    runs = planted(lambda n, _: 25 * n, budget=1e6, noise=0.1, sizes=(10, 20), seeds=1)
    competition = compete(runs, "f_mem", "gen", 0.95)
    assert all(law.aicc is None and law.reason for law in competition.laws)
    assert competition.verdict.startswith("no law can be fitted: ")


def test_a_study_in_which_nothing_crossed_has_no_law():
    competition = compete(planted(lambda n, _: 1e9, budget=100, noise=0.1, sizes=SIZES), "f_mem", "gen", 0.95)  # fmt: skip
    assert {law.reason for law in competition.laws} == {"no run was seen to cross"}


def test_the_law_after_tau_gen_needs_tau_gen_of_every_run():
    runs = planted(lambda n, _: 400 + 25 * n, budget=1e6, noise=0.1, sizes=SIZES)
    law = next(one for one in compete(runs, "f_mem", "", 0.95).laws if one.law.startswith("tau_gen"))
    assert law.reason == "tau_gen is not known of 12 runs"
