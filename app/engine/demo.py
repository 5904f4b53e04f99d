"""Where the bundled demo lies: `demo/` of a checkout, or inside the installed package. Loads nothing."""

from pathlib import Path

from app.errors import NotFound

DEMO = "demo"


def demo_folder() -> Path:
    """The folder with model/, sae/, corpus.jsonl and seed_corpus.txt. Raises NotFound where it was left out."""
    app = Path(__file__).resolve().parent.parent
    for folder in (app / "bundled" / "demo", app.parent / "demo"):
        if (folder / "corpus.jsonl").is_file():
            return folder
    raise NotFound("The bundled demo is not installed here; reinstall featurescope, or give --model and --sae.")


def model_path(source: str) -> str:
    """A model's source as given, `demo` standing for the bundled one."""
    return str(demo_folder() / "model") if source == DEMO else source


def sae_path(source: str) -> Path:
    """An SAE's path as given, `demo` standing for the bundled one."""
    return demo_folder() / "sae" if source == DEMO else Path(source).expanduser()
