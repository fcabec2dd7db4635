"""Kinds of training data and their settings.

Each has `n`, `subset` and `shape`: (C, H, W) for images, (d,) for vectors. Called by `jobs.spec.run_spec`;
`jobs.data.load` builds the data from the settings. A kind is registered in `jobs.spec.kinds`. Torch-free.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tausweep.jobs.spec.fields import Count, Kind, Positive, Real, Whole

SET_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""Names of image sets."""

UNPREPARED = "unprepared"
"""Fingerprint of specs whose images have not been looked at yet."""


class Images(Kind):
    """Images that are prepared in the store before the run.

    Attributes:
        side: height of an image if there is no setting `size`; the default levels of a U-Net follow from it.
    """

    group: ClassVar[str] = "data"
    builder: ClassVar[str] = "tausweep.jobs.data.images:prepared_split"
    side: ClassVar[int] = 32

    data: str
    fingerprint: str = Field(description="content hash of the prepared images")
    n: Annotated[Whole, Field(ge=2)] = Field(description="training-set size")
    subset: Annotated[Whole, Field(ge=0)] = Field(
        0, description="subset i trains on images i·n … (i+1)·n − 1"
    )
    test_images: Annotated[Whole, Field(ge=2)]
    pixel_scale: Positive = Field(1.0, description="width of the pixel range; 1 as in the paper, 2 for −1…1")

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of an image."""
        raise NotImplementedError

    @property
    def classes(self) -> int | None:
        """The number of classes, labelled from 0; None if the images have no labels."""
        return None


class Vectors(Kind):
    """Vectors drawn from seeds: subset i is the i-th block of an endless sequence of samples."""

    group: ClassVar[str] = "data"

    data: str
    n: Annotated[Whole, Field(ge=2)] = Field(description="training-set size")
    subset: Annotated[Whole, Field(ge=0)] = Field(
        0, description="subset i trains on samples i·n … (i+1)·n − 1"
    )
    d: Annotated[Count, Field(le=100_000)] = Field(description="dimension of a sample")
    test_samples: Annotated[Whole, Field(ge=2)] = Field(2048, description="samples held out")

    @property
    def shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (self.d,)

    @property
    def classes(self) -> int | None:
        """The number of classes, labelled from 0; None if the samples have no labels."""
        return None


class GaussianMixture(Vectors):
    """Two Gaussians of equal weight around +μ and −μ, μ = mu·(1, …, 1), each with covariance variance·I."""

    builder: ClassVar[str] = "tausweep.jobs.data.vectors:mixture_split"

    data: Literal["gaussian_mixture"]
    mu: Positive = Field(1.0, description="each coordinate of the means ±μ")
    variance: Positive = Field(1.0, description="variance of each Gaussian along each coordinate")

    @property
    def classes(self) -> int | None:
        """A class is a Gaussian: 0 around −μ, 1 around +μ."""
        return 2


class Gaussian(Vectors):
    """A centred Gaussian with a diagonal covariance of mean variance 1, unless two_point says otherwise."""

    builder: ClassVar[str] = "tausweep.jobs.data.vectors:elliptical_split"

    data: Literal["gaussian"]
    covariance: Literal["identity", "two_point", "power_law"] = Field(
        "identity", description="spectrum of the covariance"
    )
    variance_low: Positive = Field(0.5, description="two_point: variance of the first half of the directions")
    variance_high: Positive = Field(1.5, description="two_point: variance of the second half")
    variance_decay: Positive = Field(
        1.0, description="power_law: variance i is proportional to i^-variance_decay"
    )


class StudentT(Vectors):
    """Heavy tails: the multivariate t with nu degrees of freedom, scaled to unit covariance."""

    builder: ClassVar[str] = "tausweep.jobs.data.vectors:elliptical_split"

    data: Literal["student_t"]
    nu: Annotated[Real, Field(gt=2)] = Field(description="degrees of freedom; Gaussian in the limit")


class Labelled(Images):
    """Images with classes, of which a long-tailed subset may be trained on (see `jobs.data.long_tail`)."""

    imbalance: Annotated[Real, Field(ge=1, le=1e6)] | None = Field(
        None,
        description="frequency of the most frequent class divided by that of the rarest; none: natural frequencies",
    )
    head_class: Annotated[Whole, Field(ge=0)] | None = Field(
        None, description="the most frequent class; with imbalance, 0 by default"
    )


class Digits(Labelled):
    """scikit-learn's 1,797 handwritten digits, 8×8 grey; ships with the package, needs no download."""

    builder: ClassVar[str] = "tausweep.jobs.data.digits:digits_split"
    side: ClassVar[int] = 8

    data: Literal["digits"] = "digits"
    test_images: Annotated[Whole, Field(ge=2)] = Field(512, description="images held out, from the end")

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of an image."""
        return (1, 8, 8)

    @property
    def classes(self) -> int | None:
        """A class is a digit."""
        return 10


class _Sized(Images):
    test_images: Annotated[Whole, Field(ge=2)] = Field(2048, description="images held out, from the end")
    size: Annotated[Whole, Field(ge=4, le=512)] = Field(32, description="height and width in pixels")
    color: Literal["grey", "rgb"] = Field("grey", description="grey or rgb")

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of an image."""
        return (1 if self.color == "grey" else 3, self.size, self.size)


class Folder(_Sized):
    """A folder of PNG and JPEG images, resized and cropped to a square."""

    data: Literal["folder"]


class Celeba(_Sized):
    """CelebA (Liu et al. 2015), prepared in the store by `tausweep data celeba`."""

    data: Literal["celeba"]

    @property
    def set(self) -> str:
        """The name of the prepared set."""
        return "celeba"


class Imported(_Sized, Labelled):
    """Images that `tausweep data import` has prepared in the store under a name."""

    data: Literal["imported"]
    set: Annotated[str, Field(pattern=SET_NAME)] = Field(description="name of an imported image set")
    label_classes: Annotated[Count, Field(ge=2)] | None = Field(
        None,
        description="number of classes of the set's labels; needed if runs are conditional or measured by class",
    )

    @property
    def classes(self) -> int | None:
        """The number in the sweep file, which is checked against the set."""
        return self.label_classes
