"""`featurescope inspect`: say what an SAE's files hold, or describe plain tensors that do not say it themselves."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands.options import Subparsers
from app.errors import Invalid

if TYPE_CHECKING:
    from app.engine.formats.plain import Description
    from app.engine.inspection import Inspection

YES_NO = {"yes": True, "no": False}


def add_to(commands: Subparsers) -> None:
    command = commands.add_parser("inspect", help="say what an SAE's files hold, and what looks wrong about them")
    command.add_argument("path", type=Path, help="a folder or a weights file")
    plain = command.add_argument_group("for plain tensors, which do not say it themselves")
    plain.add_argument("--activation", help="relu, jumprelu, topk or abstopk")
    plain.add_argument("--centre-input", choices=YES_NO, help="whether the input loses the decoder's bias first")
    plain.add_argument("--k", type=int, help="of topk and abstopk: features a token")
    plain.add_argument("--threshold", type=float, help="of jumprelu, where the file has no tensor `threshold`")
    plain.add_argument("--normalisation", help="none (default), constant_norm_rescale, layer_norm")
    plain.add_argument("--hook", help="where it reads, such as blocks.4.hook_resid_post")
    plain.add_argument("--hook-out", help="where it writes, of a transcoder")
    plain.add_argument("--model", help="which model it was trained on")
    plain.add_argument("--prepend-bos", choices=YES_NO, help="whether it was trained with BOS in front")
    plain.add_argument("--write", action="store_true", help="keep this beside the file, where every command reads it")
    command.set_defaults(run=run)


def run(asked: argparse.Namespace) -> None:
    from app.engine.formats.plain import write_description
    from app.engine.inspection import inspect

    stated = _stated(asked)
    found = inspect(asked.path, stated)
    if asked.write:
        if stated is None:
            raise Invalid("--write keeps what is said of plain tensors: give --activation and --centre-input with it.")
        print(f"Written to {write_description(found.file, stated)}.")
    print("\n".join(_lines(found)))


def _stated(asked: argparse.Namespace) -> "Description | None":
    from app.engine.formats.files import Settings
    from app.engine.formats.plain import check_description

    given = {
        "activation": asked.activation,
        "centre_input": YES_NO.get(asked.centre_input),
        "k": asked.k,
        "threshold": asked.threshold,
        "normalisation": asked.normalisation,
        "hook_point": asked.hook,
        "hook_point_out": asked.hook_out,
        "model": asked.model,
        "prepend_bos": YES_NO.get(asked.prepend_bos),
    }
    if all(value is None for value in given.values()):
        return None
    return check_description(Settings(Path("the command line"), given))


def _lines(found: "Inspection") -> list[str]:
    sae = found.sae
    rows = [
        ("file", str(found.file)),
        ("format", sae.format),
        ("architecture", sae.architecture),
        ("features", f"{sae.n_features:,}" + (f", {sae.l0:g} a token" if sae.l0 is not None else "")),
        ("reads", f"{sae.d_in:,} numbers a token at {sae.hook_point or 'a hook point that the files do not name'}"),
        (
            "writes",
            f"{sae.d_out:,} numbers a token at {(sae.hook_point_out if sae.transcoder else None) or 'the same'}",
        ),
        ("model", sae.model_name or "not said"),
        ("input", _input(found)),
        ("dtype", f"{found.dtype}, {sae.n_bytes() / 2**20:,.1f} MiB"),
        ("decoder norms", str(found.decoder_norms)),
        ("encoder norms", str(found.encoder_norms)),
    ]
    if found.alignment is not None:
        rows.append(("encoder · decoder", f"{found.alignment} (cosines)"))
    if found.thresholds is not None:
        rows.append(("thresholds", str(found.thresholds)))
    return [*(f"{name:18} {value}" for name, value in rows), *(f"note: {warning}" for warning in found.warnings)]


def _input(found: "Inspection") -> str:
    sae = found.sae
    parts = [
        f"normalisation {sae.normalisation}",
        "centred by the decoder's bias" if sae.centre is not None else "not centred",
        {True: "BOS in front", False: "no BOS", None: "BOS not said"}[sae.prepend_bos],
    ]
    if sae.context is not None:
        parts.append(f"trained on {sae.context:,} tokens at once")
    if sae.skip is not None:
        parts.append("skips around the features")
    return ", ".join(parts)
