"""Classifier-free guidance: the formula, the dropped labels, and samples of a mixture whose scores are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from tausweep.jobs.diffusion.ddpm import Schedule, sample_ddim
from tausweep.jobs.diffusion.guidance import Guided, classes_of_samples, drop_labels, guide
from tausweep.jobs.spec import objective

MEANS = np.array([[1.5, -0.5], [-1.0, 1.0]])
"""Of two classes, each a Gaussian of standard deviation SPREAD, equally likely."""
SPREAD = 0.4
NULL = 2


@given(weight=st.floats(0, 20), seed=st.integers(0, 99))
def test_guide_is_equation_6_of_ho_and_salimans(weight, seed):
    conditional, unconditional = torch.randn(
        2, 5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    w = weight - 1  # the paper's w
    expected = (1 + w) * conditional.numpy() - w * unconditional.numpy()
    np.testing.assert_allclose(guide(conditional, unconditional, weight), expected, rtol=1e-12, atol=1e-12)


def labelled_model(x, t, labels):
    """Stands in for a network: another function at each label, row and time."""
    return torch.tanh(x) * (1.0 + labels)[:, None] + t[:, None] / 10


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 4.0])
def test_a_guided_model_mixes_the_predictions_with_and_without_label(weight):
    x, t = torch.randn(6, 3), torch.arange(6)
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    found = Guided(labelled_model, labels, NULL, weight)(x, t)
    of_label = np.tanh(x.double().numpy()) * (1 + labels.numpy())[:, None]
    of_null = np.tanh(x.double().numpy()) * 3
    expected = (1 - weight) * of_null + weight * of_label + t.numpy()[:, None] / 10
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("weight", "calls"), [(0.0, {NULL}), (1.0, {0, 1}), (3.0, {0, 1, NULL})])
def test_a_prediction_that_does_not_count_is_not_computed(weight, calls):
    seen = set()

    def model(x, t, labels):
        seen.update(labels.tolist())
        return x

    Guided(model, torch.tensor([0, 1]), NULL, weight)(torch.zeros(2, 3), torch.zeros(2))
    assert seen == calls


def mixture_epsilon(x, sigma, labels):
    """Exact noise prediction at y = x_0 + sigma·ε, float64 (N, d): of the class, or of the mixture for NULL."""
    variance = SPREAD**2 + sigma**2
    of_class = [sigma * (x - mean) / variance for mean in MEANS]
    log = np.stack([-((x - mean) ** 2).sum(1) / (2 * variance) for mean in MEANS])
    share = np.exp(log - np.logaddexp(*log))[:, :, None]
    options = np.stack([*of_class, (share * np.stack(of_class)).sum(0)])  # (3, N, d)
    return options[labels, np.arange(len(x))]


def sample_mixture(weight, labels, noise, steps=500):
    """DDIM with exact predictions."""
    schedule = Schedule.linear(objective.DDPM())

    def exact(x, t, given):
        alpha_bar = schedule.alpha_bars[t[0]].item()
        y, sigma = x.numpy() / alpha_bar**0.5, ((1 - alpha_bar) / alpha_bar) ** 0.5
        return torch.from_numpy(mixture_epsilon(y, sigma, given.numpy()))

    model = Guided(exact, torch.from_numpy(labels), NULL, weight)
    return sample_ddim(model, schedule, torch.from_numpy(noise), steps, "epsilon").numpy()


def flow(weight, labels, noise):
    """The same by the probability-flow equation dy/dσ = ε(y, σ) from x_T, solved to 1e-8 (Karras et al. 2022)."""
    alpha_bar = np.prod(1 - np.linspace(1e-4, 0.02, 1000))
    top = ((1 - alpha_bar) / alpha_bar) ** 0.5
    none = np.full_like(labels, NULL)

    def slope(sigma, y):
        rows = y.reshape(noise.shape)
        with_label, without = (mixture_epsilon(rows, sigma, which) for which in (labels, none))
        return (weight * with_label + (1 - weight) * without).ravel()

    start = (noise / alpha_bar**0.5).ravel()
    return solve_ivp(slope, (top, 1e-6), start, rtol=1e-8, atol=1e-8).y[:, -1].reshape(noise.shape)


def test_with_weight_1_a_class_is_sampled_as_its_gaussian():
    noise = np.random.default_rng(0).standard_normal((2000, 2))
    labels = np.arange(2000) % 2
    samples = sample_mixture(1.0, labels, noise)
    for label, mean in enumerate(MEANS):
        own = samples[labels == label]
        np.testing.assert_allclose(own.mean(0), mean, atol=4 * SPREAD / 1000**0.5 + 0.01)
        np.testing.assert_allclose(np.cov(own.T), SPREAD**2 * np.eye(2), atol=0.03)


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.0, 5.0])
def test_guided_samples_follow_the_guided_flow(weight):
    noise = np.random.default_rng(1).standard_normal((20, 2))
    labels = np.arange(20) % 2
    np.testing.assert_allclose(
        sample_mixture(weight, labels, noise, 1000), flow(weight, labels, noise), atol=0.02
    )


def test_guidance_pushes_samples_away_from_the_other_class_and_nowhere_else():
    # s_class − s_mixture = (share of the other class)·(m − m')·√ᾱ/variance: along m − m', never against it.
    noise = np.random.default_rng(2).standard_normal((500, 2))
    labels = np.zeros(500, np.int64)
    plain, strong = (sample_mixture(weight, labels, noise, 200) for weight in (1.0, 3.0))
    along = (MEANS[0] - MEANS[1]) / np.linalg.norm(MEANS[0] - MEANS[1])
    across = np.array([-along[1], along[0]])
    assert ((strong - plain) @ along > 0).all()
    np.testing.assert_allclose((strong - plain) @ across, 0, atol=1e-9)


def test_labels_are_dropped_at_the_rate():
    labels = torch.arange(4000) % 2
    dropped = torch.cat([drop_labels(labels, 0.1, NULL, seed=3, tau=tau) for tau in range(1, 6)]) == NULL
    assert dropped.double().mean().item() == pytest.approx(0.1, abs=4 * (0.09 / 20_000) ** 0.5)


def test_labels_that_are_kept_stay_in_place():
    labels = torch.arange(50)
    found = drop_labels(labels, 0.5, 50, seed=0, tau=7)
    assert all(after in (before, 50) for before, after in enumerate(found.tolist()))
    assert 0 < (found == 50).sum() < 50


@pytest.mark.parametrize(("rate", "expected"), [(0.0, [0, 1, 1]), (1.0, [NULL] * 3)])
def test_no_label_or_every_label_may_be_dropped(rate, expected):
    assert drop_labels(torch.tensor([0, 1, 1]), rate, NULL, seed=0, tau=1).tolist() == expected


def test_which_labels_are_dropped_follows_from_seed_and_step_alone():
    labels = torch.zeros(64, dtype=torch.int64)
    first = drop_labels(labels, 0.5, NULL, seed=1, tau=5)
    torch.manual_seed(99)
    assert torch.equal(first, drop_labels(labels, 0.5, NULL, seed=1, tau=5))
    assert not torch.equal(first, drop_labels(labels, 0.5, NULL, seed=1, tau=6))
    assert not torch.equal(first, drop_labels(labels, 0.5, NULL, seed=2, tau=5))


def test_samples_are_spread_evenly_over_the_classes_that_were_trained():
    assert classes_of_samples(7, torch.tensor([0, 3, 9])).tolist() == [0, 3, 9, 0, 3, 9, 0]
