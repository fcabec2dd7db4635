"""Exported pipelines: plain diffusers loads them, and given the run's noise it makes the run's samples."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DiffusionPipeline

from tausweep.jobs.data import digits, images
from tausweep.jobs.diffusion.ddpm import Schedule, denoising_loss, sample_ddim
from tausweep.jobs.diffusion.objective import build_objective
from tausweep.jobs.models.diffusers_pipeline import save_pipeline
from tausweep.jobs.models.unet import build_unet
from tausweep.jobs.spec.run_spec import RunSpec
from tausweep.storage.errors import InputError

SETTINGS = {
    "data": "digits",
    "fingerprint": "0",
    "n": 32,
    "W": 8,
    "pixel_scale": 1.6,
    "lr": 4e-3,
    "batch": 32,
    "steps": 100,
    "seed": 0,
    "ddim_steps": 20,
    "frechet_dims": 4,
}
predictions = pytest.mark.parametrize("prediction", ["epsilon", "v"])


@pytest.fixture(scope="module")
def trained():
    """`trained(prediction)`: a spec, its split and a network that has seen enough to draw something."""
    made = {}

    def train(prediction):
        if prediction not in made:
            spec = RunSpec.from_settings(SETTINGS | {"prediction": prediction})
            split = images.split(digits.digits(), spec.data)
            torch.manual_seed(0)
            model = build_unet(spec.model, spec.data.shape)
            optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
            schedule, x0 = Schedule.linear(spec.objective), torch.from_numpy(split.train)
            for _ in range(40):
                t, noise = torch.randint(1000, (32,)), torch.randn(x0.shape)
                optimizer.zero_grad()
                denoising_loss(model, schedule, x0, noise, t, prediction).mean().backward()
                optimizer.step()
            made[prediction] = spec, split, model.eval()
        return made[prediction]

    return train


@pytest.fixture
def noise():
    return torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(5))


def pixel_range(spec, split):
    mean = torch.from_numpy(split.mean).float()[:, None, None]
    return -mean * spec.data.pixel_scale, (1 - mean) * spec.data.pixel_scale


def export(folder, trained, prediction, **settings):
    spec, split, model = trained(prediction)
    spec = RunSpec.from_settings(spec.settings() | settings)
    save_pipeline(spec, 40, model.state_dict(), split, folder)
    return spec, split, model


def load_own(folder):
    return DiffusionPipeline.from_pretrained(folder, custom_pipeline=str(folder), trust_remote_code=True)


@predictions
@pytest.mark.parametrize("loader", [DiffusionPipeline, DDIMPipeline])
def test_plain_diffusers_runs_the_unclipped_sampler(tmp_path, trained, noise, prediction, loader):
    spec, _, model = export(tmp_path, trained, prediction)
    pipe = loader.from_pretrained(tmp_path)
    assert type(pipe) is DDIMPipeline
    pipe.scheduler.set_timesteps(25)
    x = noise
    with torch.no_grad():
        for t in pipe.scheduler.timesteps:
            x = pipe.scheduler.step(pipe.unet(x, t).sample, t, x).prev_sample
    expected = sample_ddim(model, Schedule.linear(spec.objective), noise, 25, prediction)
    torch.testing.assert_close(x, expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.1


@predictions
def test_plain_diffusers_draws_what_its_generator_says(tmp_path, trained, noise, prediction):
    spec, _, model = export(tmp_path, trained, prediction)
    pipe = DDIMPipeline.from_pretrained(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(5)
    drawn = pipe(6, generator, num_inference_steps=25, output_type="pt").images
    expected = sample_ddim(model, Schedule.linear(spec.objective), noise, 25, prediction)
    torch.testing.assert_close(drawn, (expected / 2 + 0.5).clamp(0, 1), rtol=1e-5, atol=1e-5)


@predictions
@pytest.mark.parametrize("clip_x0", [True, False])
@pytest.mark.parametrize("steps", [20, 12])  # 12 does not divide 1000
def test_its_own_pipeline_makes_the_samples_of_the_run(tmp_path, trained, noise, prediction, clip_x0, steps):
    spec, split, model = export(tmp_path, trained, prediction, clip_x0=clip_x0)
    pipe = load_own(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    clip = pixel_range(spec, split) if clip_x0 else None
    expected = sample_ddim(model, Schedule.linear(spec.objective), noise, steps, prediction, clip)
    made = pipe(noise=noise, num_inference_steps=steps, output_type="latent").images
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-5)
    pixels = pipe(noise=noise, num_inference_steps=steps, output_type="np").images
    unit = images.to_unit(expected.numpy(), split.mean, spec.data.pixel_scale).clip(0, 1)
    np.testing.assert_allclose(pixels, unit.transpose(0, 2, 3, 1), rtol=1e-5, atol=1e-5)


@predictions
@pytest.mark.parametrize(
    "sampler",
    [{"eta": 0.5}, {"eta": 1}, {"sampler": "ancestral", "timesteps": 100, "ddim_steps": 100, "loss_t": [50]}],
    ids=str,
)
def test_its_own_pipeline_adds_the_noise_of_the_run(tmp_path, trained, noise, prediction, sampler):
    spec, split, model = export(tmp_path, trained, prediction, **sampler)
    pipe = load_own(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    objective = build_objective(spec.objective, torch.device("cpu"))
    expected = objective.sample(model, noise, spec.evaluation.ddim_steps, pixel_range(spec, split))
    made = pipe(noise=noise, output_type="latent").images
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        ({}, ["the same DDIM without clipping", "such as 50"]),
        ({"eta": 0.5}, ["called with `eta=0.5`", "such as 50"]),
        ({"sampler": "ancestral", "ddim_steps": 1000}, ["called with `eta=1`", "such as 1000"]),
    ],
)
def test_the_card_says_how_plain_diffusers_samples_alike(tmp_path, trained, sampler, words):
    export(tmp_path, trained, "v", **sampler)
    card = (tmp_path / "README.md").read_text()
    assert [word for word in words if word not in card] == []


def test_two_exports_in_one_process_keep_their_own_means(tmp_path, trained, noise):
    spec, split, model = trained("v")
    made = []
    for name, mean in (("a", [0.2]), ("b", [0.6])):
        save_pipeline(spec, 40, model.state_dict(), replace(split, mean=np.array(mean)), tmp_path / name)
    for name in ("a", "b"):
        pipe = load_own(tmp_path / name)
        pipe.set_progress_bar_config(disable=True)
        made.append(pipe(noise=noise, output_type="latent").images)
    assert made[0].min() == pytest.approx(-0.2 * 1.6)
    assert made[1].min() == pytest.approx(-0.6 * 1.6)


def test_the_steps_of_the_run_and_the_generator_are_the_defaults(tmp_path, trained, noise):
    spec, split, model = export(tmp_path, trained, "v")
    pipe = load_own(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    made = pipe(6, torch.Generator().manual_seed(5), output_type="latent").images
    expected = sample_ddim(model, Schedule.linear(spec.objective), noise, 20, "v", pixel_range(spec, split))
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-5)
    assert [image.size for image in pipe(2).images] == [(8, 8), (8, 8)]
    assert [image.size for image in pipe(2, return_dict=False)[0]] == [(8, 8), (8, 8)]


def test_saving_again_by_diffusers_loses_nothing(tmp_path, trained, noise):
    export(tmp_path / "first", trained, "v")
    DDIMPipeline.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    config = json.loads((tmp_path / "second" / "scheduler" / "scheduler_config.json").read_text())
    assert config["_pixel_scale"] == 1.6
    assert config["_clip_x0"] is True
    assert config["_ddim_steps"] == 20


def test_the_card_says_what_the_run_was_and_what_its_pixels_are(tmp_path, trained):
    spec, split, _ = export(tmp_path, trained, "epsilon")
    card = (tmp_path / "README.md").read_text()
    assert f"# Run {spec.run_id} at tau = 40" in card
    assert f"{split.mean[0]:.6g}"[:7] in card
    assert '"pixel_scale": 1.6' in card
    assert "clips its x_0" in card
    assert "bfloat16" not in card
    export(tmp_path, trained, "epsilon", clip_x0=False, precision="bf16")
    assert "did not clip" in (tmp_path / "README.md").read_text()
    assert "bfloat16" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"objective": "flow_matching"}, "objective = flow_matching"),
        ({"conditional": True}, "takes labels"),
    ],
)
def test_a_run_that_diffusers_has_no_pipeline_for_is_refused(tmp_path, trained, settings, words):
    _, split, model = trained("epsilon")
    spec = RunSpec.from_settings(SETTINGS | settings)
    with pytest.raises(InputError, match=words):
        save_pipeline(spec, 40, model.state_dict(), split, tmp_path / "out")
    assert not (tmp_path / "out").exists()
