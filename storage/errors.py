"""The one exception tree of tausweep.

Every layer raises these and the command line turns them into one message and an exit code. A message names
the field or file, the value, what is allowed and what to do next.

    TausweepError                     exit code 1
    ├── InputError                    exit code 2: the user can correct it (sweep file, filter, option, data)
    │   ├── SettingError              one field of a spec
    │   ├── SweepFileError            with file and line
    │   └── DataError                 too few images, nothing to read, wrong digest
    │       ├── NotPreparedError      images that a command has yet to bring into the store
    │       └── UnreadableImageError  one image that is damaged, and can be skipped on request
    ├── StoreError                    what is on disk is not what it should be
    │   ├── SchemaError               a part or record of another schema, named
    │   ├── CorruptFileError          truncated or foreign file, named
    │   └── IdentityError             a spec that does not hash to its run id
    ├── ClaimLostError                another attempt has taken over the run; publish nothing more
    ├── TheoryError                   a prediction could not be computed to its tolerance
    └── RunError                      the run itself went wrong
        └── NotFiniteError            loss not finite, with the step and the last losses
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TausweepError(Exception):
    """Base of all errors that tausweep raises on purpose."""

    exit_code = 1


class InputError(TausweepError):
    """Something the user wrote is wrong; nothing has been changed."""

    exit_code = 2


class SettingError(InputError):
    """One setting is wrong; the caller that knows the file adds the line number.

    Attributes:
        field: the setting's name as the user writes it.
        value: what was given.
        problem: what is allowed and what to do next.
    """

    def __init__(self, field: str, value: object, problem: str) -> None:
        super().__init__(f"{field} = {value!r}: {problem}")
        self.field = field
        self.value = value
        self.problem = problem


class SweepFileError(InputError):
    """A sweep file, or an override of it, is wrong."""


class DataError(InputError):
    """The requested images are missing, unreadable or too few."""


class NotPreparedError(DataError):
    """The store does not hold these images yet; the message ends with the command that brings them."""


class UnreadableImageError(DataError):
    """One image of a set is damaged."""


class StoreError(TausweepError):
    """What is on disk is not what it should be."""


class SchemaError(StoreError):
    """A part or record has a schema that this version does not read."""


class CorruptFileError(StoreError):
    """A file of the store is truncated, or not of the type that its name implies."""


class IdentityError(StoreError):
    """A run directory's spec does not hash to the directory's run id."""


class ClaimLostError(TausweepError):
    """Another attempt has taken over the run; this writer must not publish any more."""


class TheoryError(TausweepError):
    """A prediction could not be computed to its tolerance; no value replaces it."""


class RunError(TausweepError):
    """The run itself went wrong; running it again gives the same."""


class NotFiniteError(RunError):
    """The training loss is not finite."""


_LISTED = 12  # a longer list of names is cut to the nearest ones


def nearest(word: str, allowed: Iterable[str]) -> str:
    """The end of an error message: the valid names, or the nearest of many.

    Args:
        word: what the user wrote.
        allowed: the valid names.

    Returns:
        `did you mean 'lr'? Allowed: batch, lr, …`, or for many names `did you mean 'lr'? The nearest of 68:
        lr, clip, W`. Only the second sentence if no name is close.
    """
    names = sorted(set(allowed))
    if not names:
        return "there is none"
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.0)
    listed = (
        f"allowed: {', '.join(names)}"
        if len(names) <= _LISTED
        else f"the nearest of {len(names)}: {', '.join(close)}"
    )
    if likely := difflib.get_close_matches(word, names, n=1, cutoff=0.6):
        return f"did you mean {likely[0]!r}? {listed[0].upper()}{listed[1:]}"
    return listed
