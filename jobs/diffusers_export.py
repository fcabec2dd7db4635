"""A trained network as a folder that diffusers loads: weights, schedule, a model card and the run's own sampler.

Called by `tausweep export-pipeline`; knows neither the store nor where a checkpoint was kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffusers import DDIMPipeline, DDIMScheduler
from torch import Tensor

from jobs import centred_pipeline, settings
from jobs.spec import RunSpec
from jobs.unet import build_unet
from storage.errors import InputError

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

runs the same DDIM without clipping, with steps that divide {timesteps}, such as {steps}. The network works on centred pixels
x = (pixel − mean) · scale with mean = {mean} and scale = {scale}; `DDIMPipeline` takes them for pixels from −1 to 1
when it makes images. {clipping}{precision}

## Settings

```json
{settings}
```
"""


def save_pipeline(
    spec: RunSpec, tau: int, weights: Mapping[str, Tensor], mean: Sequence[float], folder: Path
) -> None:
    """Write a DDIMPipeline, `pipeline.py` with the run's own sampler, and a model card.

    Args:
        spec: the run.
        tau: optimiser updates done.
        weights: the model's state as a checkpoint holds it.
        mean: what was subtracted from pixels in 0…1, a number a channel.
        folder: where to write; made if missing.

    Raises:
        InputError: diffusers has no pipeline for this run (see `require_exportable`).
    """
    require_exportable(spec)
    network = build_unet(spec.model, spec.data.shape)
    network.load_state_dict(dict(weights))
    scheduler = _scheduler(spec.objective)
    # Names that begin with an underscore are kept by diffusers, which looks at none of them.
    scheduler.register_to_config(
        _pixel_mean=[float(channel) for channel in mean],
        _pixel_scale=spec.data.pixel_scale,
        _clip_x0=spec.evaluation.clip_x0,
        _ddim_steps=spec.evaluation.ddim_steps,
    )
    DDIMPipeline(network.unet.eval(), scheduler).save_pretrained(folder)
    (folder / "pipeline.py").write_bytes(Path(centred_pipeline.__file__).read_bytes())
    (folder / "README.md").write_text(_card(spec, tau, mean))


def require_exportable(spec: RunSpec) -> None:
    """Check that there is a pipeline of diffusers for a run.

    Raises:
        InputError: the model is not the U-Net, or the objective is none that DDIM samples.
    """
    kinds = {"model": (spec.model.model, "unet"), "objective": (spec.objective.objective, "ddpm")}
    for name, (kind, needed) in kinds.items():
        if kind != needed:
            raise InputError(
                f"run {spec.run_id}: {name} = {kind}: diffusers has a pipeline for {name} = {needed} only"
            )


def _scheduler(objective: settings.DDPM) -> DDIMScheduler:
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


def _card(spec: RunSpec, tau: int, mean: Sequence[float]) -> str:
    scale, bounds = (
        spec.data.pixel_scale,
        [f"[{-m * spec.data.pixel_scale:.6g}, {(1 - m) * spec.data.pixel_scale:.6g}]" for m in mean],
    )
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
        timesteps=spec.objective.timesteps,
        steps=max(
            s for s in range(1, min(50, spec.objective.timesteps) + 1) if spec.objective.timesteps % s == 0
        ),
        mean=[float(f"{m:.9g}") for m in mean],
        scale=scale,
        clipping=clipping,
        precision=" The run computed under autocast to bfloat16, diffusers computes in float32."
        if bf16
        else "",
        settings=json.dumps(spec.settings(), indent=2),
    )
