"""Prints what an image installs, from pyproject.toml: `browse` leaves out what only models need, `all` nothing.

python recipes/requirements.py browse|all
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
FOR_MODELS = {"huggingface-hub", "safetensors", "torch", "transformers"}
EXTRAS = ("postgresql",)  # what a server may need beside the dependencies


def requirements(which: str) -> list[str]:
    project = tomllib.loads(PROJECT.read_text())["project"]
    every = [*project["dependencies"], *(r for extra in EXTRAS for r in project["optional-dependencies"][extra])]
    return [r for r in every if which == "all" or _name(r) not in FOR_MODELS]


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower()


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1])))
