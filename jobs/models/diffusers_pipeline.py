"""A trained network as a folder for diffusers: weights, schedule, a model card and the run's own sampler.

Called by `tausweep export-pipeline`; knows neither the store nor the place of the checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from diffusers import DDIMPipeline, DDIMScheduler
from torch import Tensor

from tausweep.jobs.data.split import Split
from tausweep.jobs.models import centred_pipeline
from tausweep.jobs.models.unet import build_unet
from tausweep.jobs.spec.data import Images
from tausweep.jobs.spec.model import UNet
from tausweep.jobs.spec.objective import DDPM
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.storage.errors import InputError

_PREDICTION = {"epsilon": "epsilon", "v": "v_prediction"}

_CARD = """\
---
library_name: diffusers
pipeline_tag: unconditional-image-generation
---
# Run {run_id} at tau = {tau}

Trained by tausweep for {tau} optimiser updates. With diffusers alone, the run's own sampler, pixels from 0 to 1:

```python
from diffusers import DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained(FOLDER, custom_pipeline=FOLDER, trust_remote_code=True)
images = pipe(batch_size=4, generator=torch.manual_seed(0), output_type="pt").images
```

`trust_remote_code` lets diffusers read [`pipeline.py`](pipeline.py) of this folder. Without it

```python
pipe = DiffusionPipeline.from_pretrained(FOLDER)  # a DDIMPipeline
```

runs {sampler} without clipping, with steps that divide {timesteps}, such as {steps}. The network works on centred pixels
x = (pixel − mean) · scale with mean = {mean} and scale = {scale}; `DDIMPipeline` takes them for pixels from −1 to 1
when it makes images. {clipping}{precision}

## Settings

```json
{settings}
```
"""


def save_pipeline(spec: RunSpec, tau: int, weights: Mapping[str, Tensor], split: Split, folder: Path) -> None:
    """Write a DDIMPipeline, `pipeline.py` with the run's own sampler, and a model card.

    Args:
        spec: the run.
        tau: optimiser updates done.
        weights: the model's state from a checkpoint.
        split: its training set, for the centring and scale of pixels.
        folder: where to write; made if missing.

    Raises:
        InputError: diffusers has no pipeline for this run (see `require_exportable`).
    """
    model, objective = require_exportable(spec)
    assert split.mean is not None
    network = build_unet(model, spec.data.shape)
    network.load_state_dict(dict(weights))
    scheduler = _scheduler(objective)
    # diffusers keeps names that begin with an underscore, and ignores them.
    scheduler.register_to_config(
        _pixel_mean=split.mean.tolist(),
        _pixel_scale=split.pixel_scale,
        _clip_x0=spec.evaluation.clip_x0,
        _ddim_steps=spec.evaluation.ddim_steps,
        _eta=objective.noise_share,
    )
    DDIMPipeline(network.unet.eval(), scheduler).save_pretrained(folder)
    (folder / "pipeline.py").write_bytes(Path(centred_pipeline.__file__).read_bytes())
    (folder / "README.md").write_text(_card(spec, tau, split, objective))


def require_exportable(spec: RunSpec) -> tuple[UNet, DDPM]:
    """Check that diffusers has a pipeline for a run.

    Returns:
        Its model and its objective.

    Raises:
        InputError: the data are not images, the network takes labels, the model is not the U-Net, or DDIM
            cannot sample the objective.
    """
    if not isinstance(spec.data, Images):
        raise InputError(
            f"run {spec.run_id}: data = {spec.data.data}: diffusers has pipelines for images only"
        )
    if spec.classes is not None:
        raise InputError(f"run {spec.run_id}: the network takes labels, which DDIMPipeline does not support")
    if isinstance(spec.model, UNet) and isinstance(spec.objective, DDPM):
        return spec.model, spec.objective
    raise InputError(
        f"run {spec.run_id}: model = {spec.model.model}, objective = {spec.objective.objective}: diffusers has a "
        "pipeline for model = unet, objective = ddpm only"
    )


def _scheduler(objective: DDPM) -> DDIMScheduler:
    return DDIMScheduler(
        num_train_timesteps=objective.timesteps,
        beta_start=objective.beta_start,
        beta_end=objective.beta_end,
        beta_schedule="linear",
        prediction_type=_PREDICTION[objective.prediction],
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )


def _card(spec: RunSpec, tau: int, split: Split, objective: DDPM) -> str:
    assert split.mean is not None
    timesteps = objective.timesteps
    dividing = max(s for s in range(1, min(50, timesteps) + 1) if timesteps % s == 0)
    sampler = "the same DDIM"
    if objective.noise_share:
        sampler = f"the same sampler, called with `eta={objective.noise_share:g}` and with other noise,"
    scale = split.pixel_scale
    bounds = [f"[{-m * scale:.6g}, {(1 - m) * scale:.6g}]" for m in split.mean.tolist()]
    clipping = "The run's own sampler did not clip either."
    if spec.evaluation.clip_x0:
        clipping = (
            f"The run's own sampler clips its x_0 predictions to the range of pixels, {', '.join(bounds)}, "
            "which lies about the mean; `DDIMScheduler` can clip symmetrically about 0 only."
        )
    bf16 = spec.training.precision == "bf16"
    return _CARD.format(
        run_id=spec.run_id,
        tau=tau,
        timesteps=timesteps,
        sampler=sampler,
        steps=timesteps if objective.sampler == "ancestral" else dividing,
        mean=[float(f"{m:.9g}") for m in split.mean.tolist()],
        scale=scale,
        clipping=clipping,
        precision=" The run computed under autocast to bfloat16, diffusers computes in float32."
        if bf16
        else "",
        settings=json.dumps(spec.settings(), indent=2),
    )
