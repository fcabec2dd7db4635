"""diffusers' U-Net alone: it is the class that diffusers has, and what is not loaded with it."""

from __future__ import annotations

import subprocess
import sys

LIGHT = "from tausweep.jobs.models.light_diffusers import UNet2DModel as light"
FULL = """
from diffusers import UNet2DConditionModel, UNet2DModel
from diffusers.models.transformers import DiTTransformer2DModel
from diffusers.models.unets import UNet1DModel
"""


def python(*lines: str) -> str:
    return subprocess.run(
        [sys.executable, "-P", "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_rest_of_diffusers_and_the_compiler_can_be_loaded_later():
    assert python(LIGHT, FULL, "import torch._dynamo", "print(light is UNet2DModel)") == "True"


def test_a_diffusers_that_is_loaded_already_is_taken():
    assert python(FULL, LIGHT, "print(light is UNet2DModel)") == "True"


def test_a_network_is_built_and_trained_without_what_no_run_uses():
    unused = ["torch._dynamo", "torch._inductor", "scipy.stats", "scipy.special", "torchvision", "sympy"]
    training = """
import sys
import torch
from tausweep.jobs.models.build import build_model
from tausweep.jobs.spec.model import UNet
from tausweep.jobs.spec.optimizer import Adam
from tausweep.jobs.training import loop
from tausweep.jobs.training.optimizers import build_optimizer
network = build_model(UNet(W=4, multipliers=(1, 1), attention=(False, True), layers=1), (1, 8, 8))
optimizer = build_optimizer(Adam(lr=1e-3), network.parameters())
network(torch.zeros(1, 1, 8, 8), torch.zeros(1)).sum().backward()
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
"""
    assert python(training, f"print([name for name in {unused} if name in sys.modules])") == "[]"
