"""The command `spectrum`: the theory of the random-features model, without a sweep or a store.

Registered by `orchestrator.cli.app`, and written like the commands there: options in, one call below, words out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tausweep.orchestrator.cli.options import AsJson


def spectrum(
    psi_p: Annotated[float, typer.Option("--psi-p", help="p/d, features per dimension.")],
    psi_n: Annotated[float, typer.Option("--psi-n", help="n/d, training samples per dimension.")],
    t: Annotated[float, typer.Option("--t", help="Diffusion time, above 0.")] = 0.01,
    covariance: Annotated[
        str, typer.Option("--covariance", help="Covariance of the data: identity, two_point or power_law.")
    ] = "identity",
    low: Annotated[float, typer.Option("--low", help="two_point: variance of half of the directions.")] = 0.5,
    high: Annotated[float, typer.Option("--high", help="two_point: variance of the other half.")] = 1.5,
    exponent: Annotated[
        float, typer.Option("--exponent", help="power_law: variance i is proportional to i^-exponent.")
    ] = 1.0,
    activation: Annotated[str, typer.Option("--activation", help="tanh or erf.")] = "tanh",
    d: Annotated[int, typer.Option("--d", help="Dimension of the drawn spectra.")] = 300,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the drawn spectra.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Draw the density over histograms: FILE.png, .pdf or .svg."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Predict tau_gen and tau_mem of a random-features model.

    From the spectrum of its matrix U. Shows supports and masses of all parts. Writes nothing without --out.
    """
    from tausweep.orchestrator.figures import spectrum_theory
    from tausweep.orchestrator.terminal import console

    model = spectrum_theory.Model(
        psi_p=psi_p,
        psi_n=psi_n,
        t=t,
        d=d,
        covariance=covariance,
        low=low,
        high=high,
        exponent=exponent,
        activation=activation,
    )
    theory = spectrum_theory.document(model)
    if out is not None:
        theory["drawn"] = spectrum_theory.compare(model, out, seed)
    if as_json:
        console.print_json(theory)
    else:
        _print(theory)


def _print(theory: dict[str, Any]) -> None:
    from tausweep.orchestrator.terminal import console

    constants = theory["constants"]
    console.console.print(
        f"regime {theory['regime']}: n = {theory['n']:,}, p = {theory['p']:,}; "
        f"a = {constants['a']:.4g}, b = {constants['b']:.4g}, v² = {constants['v2']:.4g}, s² = {constants['s2']:.4g}"
    )
    rows = [
        (part["name"], f"{part['mass']:.4f}", f"{part['mean']:.4g}", f"{piece['low']:.4g} … {piece['high']:.4g}",
         f"{piece['mass']:.4f}")
        for part in theory["parts"]
        for piece in part["intervals"]
    ]  # fmt: skip
    console.print_table(["part", "mass", "mean", "support", "mass there"], rows)
    times = theory["timescales"]
    if times is None:
        console.console.print("no tau_mem: bulk 1 is empty, or no gap separates it from bulk 2")
    else:
        console.console.print(
            f"tau_gen = {times['tau_gen']:.4g} (slowest direction {times['tau_gen_slowest']:.4g}); "
            f"tau_mem = {times['tau_mem']:.4g} (from {times['tau_mem_fastest']:.4g} to "
            f"{times['tau_mem_slowest']:.4g}; {times['tau_mem_with_sub_bulk']:.4g} with its sub-bulk), in lr·τ/d²",
            soft_wrap=True,
        )
    for name, drawn in theory.get("drawn", {}).items():
        console.console.print(
            f"{name}, drawn at d = {theory['d']}: farthest from the theory by {drawn['distance']:.2%} of all eigenvalues"
        )
