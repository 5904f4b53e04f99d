"""`featurescope saes`: list the published SAEs that `--sae` takes by name."""

import argparse

from app.commands.options import Subparsers
from app.errors import NotFound

_HEAD = ("NAME", "MODEL", "HOOK POINT", "FEATURES", "L0")


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("saes", help="list the published SAEs that --sae takes by name")
    command.add_argument(
        "pattern", metavar="PATTERN", nargs="?", help="words that name, model or hook point hold (default: releases)"
    )
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    """Without a pattern one line a release, with one a line an SAE."""
    from app.engine.published import SAELENS
    from app.engine.registry import read_registry

    registry = read_registry()
    if asked.pattern is None:
        rows: list[tuple[str, ...]] = []
        for release in sorted(registry.releases):
            saes = list(registry.saes(release))
            rows.append((f"{SAELENS}{release}/...", saes[0].model, f"{len(saes):,} SAEs"))
        _print(("NAME", "MODEL", ""), rows)
        total = sum(len(facts["saes"]) for facts in registry.releases.values())
        print(f"\n{total:,} SAEs in the table {registry.source}. Give a word to see them: featurescope saes gpt2")
        return
    words = asked.pattern.lower().split()
    found = [
        sae
        for release in sorted(registry.releases)
        for sae in registry.saes(release)
        if all(word in f"{sae.name} {sae.model} {sae.hook_point}".lower() for word in words)
    ]
    if not found:
        raise NotFound(f"No published SAE holds {asked.pattern!r} in its name, model or hook point.")
    _print(
        _HEAD,
        [
            (
                f"{SAELENS}{sae.name}",
                sae.model,
                sae.hook_point or "?",
                "?" if sae.width is None else f"{sae.width:,}",
                "?" if sae.l0 is None else f"{sae.l0:g}",
            )
            for sae in found
        ],
    )


def _print(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
