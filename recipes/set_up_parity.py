"""Makes the environment in which `make parity` compares with the libraries that SAEs come from.

python recipes/set_up_parity.py .venv-parity
It is apart from .venv: nobody who uses Featurescope needs these libraries, and some of them ask for very much.
"""

import subprocess
import sys
import venv
from pathlib import Path

PINS = Path("tests/parity")


def main() -> None:
    folder = Path(sys.argv[1])
    if not (folder / "bin" / "pip").exists():
        print(f"Making the environment {folder}.", flush=True)
        venv.create(folder, with_pip=True)
    torch = [line.strip() for line in Path("constraints.txt").read_text().splitlines() if line.startswith("torch==")]
    print("Installing torch, the largest part.", flush=True)
    pip(folder, *torch)
    print("Installing sae-lens, transformer-lens and what they need.", flush=True)
    pip(folder, "-c", str(PINS / "constraints.txt"), "-r", str(PINS / "requirements.txt"))
    # Both are asked for more than opening an SAE takes (torchvision, diffusers, umap): that part is left out.
    print("Installing sparsify and dictionary_learning.", flush=True)
    pip(folder, "--no-deps", "-r", str(PINS / "libraries.txt"))


def pip(folder: Path, *asked: str) -> None:
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *asked]
    if subprocess.call(command) != 0:
        sys.exit("The libraries could not be installed: pip says why above. Is there a network, and room on the disk?")


if __name__ == "__main__":
    main()
