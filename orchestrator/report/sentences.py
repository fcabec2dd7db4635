"""Sentences of a result as HTML: commands as code, powers raised, times with their index.

Called by the report; changes how a sentence looks, never what it says.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_POWER = re.compile(r"\^([−-]?)(\d+(?:\.\d+)?|[a-z]+)")
_GREEK = {"alpha": "α", "gamma": "γ"}
_INDEX = re.compile(r"\btau_(mem|gen|0)\b")
_TAU = re.compile(r"\btau\b")


def as_html(sentence: str) -> Markup:
    """A sentence as HTML, in which all that is not ours is escaped.

    Args:
        sentence: plain text with commands between backticks.
    """
    parts = str(escape(sentence)).split("`")
    return Markup("".join(_code(part) if place % 2 else _prose(part) for place, part in enumerate(parts)))  # noqa: S704 - escaped above


def _code(text: str) -> str:
    return f"<code>{text}</code>"


def _prose(text: str) -> str:
    text = _POWER.sub(lambda power: f"<sup>{power[1]}{_GREEK.get(power[2], power[2])}</sup>", text)
    text = _INDEX.sub(r"τ<sub>\1</sub>", text)
    return _TAU.sub("τ", text)
