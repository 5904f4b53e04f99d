"""Finds and loads a language model: a folder, a GGUF file, or a name on the hub."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from app.engine.demo import DEMO, model_path
from app.engine.families import FAMILIES, Family, find_family
from app.engine.gelu import use_one_pass_gelu
from app.engine.language_model import LanguageModel
from app.engine.products import use_quick_products
from app.engine.tokens import plain_offsets
from app.errors import Invalid

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_language_model(
    source: str,
    device: str = "cpu",
    dtype: str = "float32",
    *,
    device_map: str | None = None,
    trust_remote_code: bool = False,
    parts: Sequence[str] = (),
) -> LanguageModel:
    """A model from a folder or a .gguf file, or by its name on the hub (in its cache when offline). Raises Invalid.

    device_map: spreads the layers over devices (accelerate's `auto`), in place of `device`. parts: see find_family.
    """
    if dtype not in DTYPES:
        raise Invalid(f"--dtype {dtype!r} is not known; it takes {', '.join(DTYPES)}.")
    files = find_model_files(source)
    try:
        model, family = _load(files, DTYPES[dtype], device_map, trust_remote_code, parts)
        tokenizer = _tokenizer(files, trust_remote_code)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise Invalid(f"The model {source} cannot be loaded: {_reason(error)}") from error
    except Exception as error:
        if type(error).__module__.startswith("safetensors"):
            raise Invalid(f"The weights of {source} cannot be read ({error}); are they cut off?") from error
        raise
    for name, parameter in model.named_parameters():
        if not parameter.is_meta and not torch.isfinite(parameter).all():
            raise Invalid(f"The model {source} holds NaN or infinity in {name}; its weights are damaged.")
    model.eval().requires_grad_(False)
    use_one_pass_gelu(model)
    if device == "cpu" and device_map is None and dtype == "float32":
        use_quick_products(model)
    if device_map is None:
        model.to(device)
    return LanguageModel(files.name, model, plain_offsets(tokenizer), family)


@dataclass(frozen=True)
class ModelFiles:
    """Where transformers finds a model: a folder or a name on the hub, and a GGUF file there. name: what is shown."""

    where: str
    gguf_file: str | None
    name: str

    def arguments(self) -> dict[str, Any]:
        return {} if self.gguf_file is None else {"gguf_file": self.gguf_file}


def find_model_files(source: str) -> ModelFiles:
    """`demo`, a folder, a .gguf file, `owner/repo`, or `owner/repo/file.gguf`. Raises Invalid."""
    path = model_path(source)
    local = Path(path).expanduser()
    name = DEMO if source == DEMO else local.name
    if local.is_dir():
        if not (local / "config.json").is_file():
            found = sorted(file.name for file in local.glob("*.gguf"))
            hint = f"; it holds {', '.join(found)}: give that file" if found else ""
            raise Invalid(f"{source} is not a Hugging Face model folder: it has no config.json{hint}.")
        return ModelFiles(str(local), None, name)
    is_gguf = path.endswith(".gguf")
    if local.is_file():
        if not is_gguf:
            raise Invalid(f"{source} is a file; give the folder that holds its config.json, or a .gguf file.")
        return ModelFiles(str(local.parent), local.name, local.stem)
    if path.startswith((".", "/", "~")) or path.count("/") > (2 if is_gguf else 1):
        raise Invalid(f"There is no model at {source}: give a folder with config.json, or a name on the hub.")
    if is_gguf and path.count("/") == 2:
        repo, _, file = path.rpartition("/")
        return ModelFiles(repo, file, Path(file).stem)
    return ModelFiles(path, None, source)


def _load(
    files: ModelFiles, dtype: torch.dtype, device_map: str | None, trust_remote_code: bool, parts: Sequence[str]
) -> tuple[Any, Family]:
    import transformers
    from huggingface_hub.utils.tqdm import enable_progress_bars

    auto: Any = transformers  # its classes are typed for what they are loaded as, which is not known here
    auto.utils.logging.disable_progress_bar()  # of reading weights; downloads keep theirs
    enable_progress_bars()
    code = {"trust_remote_code": trust_remote_code}
    config = auto.AutoConfig.from_pretrained(files.where, **code, **files.arguments())
    known = FAMILIES.get(config.model_type)
    kind = auto.AutoModel if known is not None and known.encoder else auto.AutoModelForCausalLM
    if known is None:
        with torch.device("meta"):  # before gigabytes are read: are its parts named?
            find_family(kind.from_config(config, **code), config, parts)
    placed = {} if device_map is None else {"device_map": device_map}
    model, report = kind.from_pretrained(
        files.where, config=config, dtype=dtype, output_loading_info=True, **code, **placed, **files.arguments()
    )
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise Invalid(
            f"The weights of {files.name} lack {', '.join(missing[:3])}{' and others' if len(missing) > 3 else ''}; "
            "they would be random numbers."
        )
    return model, find_family(model, config, parts)


def _tokenizer(files: ModelFiles, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(files.where, trust_remote_code=trust_remote_code, **files.arguments())


def _reason(error: Exception) -> str:
    """What transformers says, in its first line, with our name of the flag that it asks for."""
    text = str(error).strip() or type(error).__name__
    if "trust_remote_code" in text:
        return (
            "it needs Python code from its own repository. Read that code; where you trust it, give "
            "--trust-remote-code, and it is run."
        )
    return text.splitlines()[0]
