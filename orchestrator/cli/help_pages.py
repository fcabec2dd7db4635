"""The help of a command with many sub-commands: their one-line summaries under headings.

A heading is the `rich_help_panel` with which a sub-command is registered. Typer itself shows these only in boxes.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class GroupedCommands(TyperGroup):
    """A command whose help lists its sub-commands under their headings, in the order of registration."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the headings, each with its commands; called where the help page is made."""
        named = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        commands: list[tuple[str, Any]] = [
            (name, one) for name, one in named if one is not None and not one.hidden
        ]
        width = max(len(name) for name, _ in commands)
        limit = formatter.width - 6 - width  # indent, name, two columns between: as click counts
        for heading in dict.fromkeys(command.rich_help_panel for _, command in commands):
            rows = [
                (name.ljust(width), command.get_short_help_str(limit))
                for name, command in commands
                if command.rich_help_panel == heading
            ]
            with formatter.section(heading):
                formatter.write_dl(rows)
