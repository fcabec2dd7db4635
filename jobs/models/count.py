"""`python -m tausweep.jobs.models.count`: count the parameters p of models, JSON in and JSON out.

The plan runs it as a subprocess, so that planning itself loads no torch.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tausweep.jobs.models.build import count_parameters
from tausweep.jobs.spec.kinds import kinds_of
from tausweep.jobs.spec.model import ModelKind


def main() -> None:
    """Read `[{"settings": {"model": "unet", "W": 32, …}, "shape": [C, H, W], "classes": 10}, …]`, write `[p, …]`.

    Raises:
        pydantic.ValidationError: the settings are not those of the model.
    """
    counts = [
        count_parameters(
            _model(request["settings"]),
            tuple(request["shape"]),
            request.get("classes"),
        )
        for request in json.load(sys.stdin)
    ]
    json.dump(counts, sys.stdout)


def _model(settings: dict[str, Any]) -> ModelKind:
    model = kinds_of("model")[settings["model"]].model_validate(settings)
    assert isinstance(model, ModelKind)
    return model


if __name__ == "__main__":
    main()
