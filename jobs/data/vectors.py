"""Training and test sets of vectors, drawn from seeds that are the same for every run.

Called by `jobs.data.load`. As with images, a run's seed changes the training but not the training set.
"""

from __future__ import annotations

import math

import numpy as np

from tausweep.jobs.arrays import Floats32, Labels
from tausweep.jobs.data.elliptical import Elliptical, gaussian, spectrum, student_t
from tausweep.jobs.data.split import Split
from tausweep.jobs.seeds import Purpose, derive
from tausweep.jobs.spec.data import Gaussian, GaussianMixture, StudentT


def mixture_split(data: GaussianMixture) -> Split:
    """Samples of the mixture, labelled by their component: class 0 around −μ, class 1 around +μ."""
    train, train_labels = _mixture(data, "train_set", data.n * data.subset, data.n)
    test, test_labels = _mixture(data, "test_set", 0, data.test_samples)
    return Split(train=train, test=test, train_labels=train_labels, test_labels=test_labels)


def _mixture(data: GaussianMixture, purpose: Purpose, start: int, count: int) -> tuple[Floats32, Labels]:
    """Samples start … start + count − 1 of an endless sequence: (count, d) and their components (count,)."""
    labels = _stream(purpose, 0).integers(2, size=start + count)[start:]
    noise = _stream(purpose, 1).standard_normal((start + count, data.d))[start:]
    centres = data.mu * (2 * labels - 1)[:, None]
    return (centres + math.sqrt(data.variance) * noise).astype(np.float32), labels


def elliptical(data: Gaussian | StudentT) -> Elliptical:
    """The distribution of Gaussian or heavy-tailed data."""
    if isinstance(data, StudentT):
        return student_t(np.ones(data.d), data.nu)
    return gaussian(
        spectrum(
            data.covariance,
            data.d,
            low=data.variance_low,
            high=data.variance_high,
            exponent=data.variance_decay,
        )
    )


def elliptical_split(data: Gaussian | StudentT) -> Split:
    """Samples of Gaussian or heavy-tailed data."""
    law, start = elliptical(data), data.n * data.subset
    train = law.draw(start + data.n, _stream("train_set", 0))[start:]
    test = law.draw(data.test_samples, _stream("test_set", 0))
    return Split(train=train.astype(np.float32), test=test.astype(np.float32))


def _stream(purpose: Purpose, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(derive(0, purpose, index)))
