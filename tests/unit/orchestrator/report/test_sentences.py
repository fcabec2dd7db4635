"""A sentence of a result as HTML says the same, and runs nothing of a user's."""

from __future__ import annotations

import pytest

from tausweep.orchestrator.report.sentences import as_html


@pytest.mark.parametrize(
    ("sentence", "html"),
    [
        ("tau_mem grows like n^1.02 [0.7, 1.3].", "τ<sub>mem</sub> grows like n<sup>1.02</sup> [0.7, 1.3]."),
        ("· W^−0.9 within tau = 8,000.", "· W<sup>−0.9</sup> within τ = 8,000."),
        ("n* = a·p^b.", "n* = a·p<sup>b</sup>."),
        ("a·n^alpha·W^−gamma", "a·n<sup>α</sup>·W<sup>−γ</sup>"),
        ("`tausweep refine x --tau 9` tells", "<code>tausweep refine x --tau 9</code> tells"),
        ("run <b> & tau_0", "run &lt;b&gt; &amp; τ<sub>0</sub>"),
    ],
)
def test_powers_times_and_commands(sentence, html):
    assert as_html(sentence) == html
