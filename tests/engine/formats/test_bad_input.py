"""Files that are damaged, contradict themselves, hold another thing, or mean harm: one sentence, nothing executed."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.engine.sae import load_sae
from app.errors import Invalid
from tests.engine.formats import layouts
from tests.engine.formats.layouts import D_IN, N, draw, linear_tensors

WEIGHTS = "sae_weights.safetensors"
Change = Callable[[Path], object]


def cut(file: str) -> Change:
    def change(folder: Path) -> None:
        whole = (folder / file).read_bytes()
        (folder / file).write_bytes(whole[: len(whole) // 2])

    return change


def tensor(name: str, made: Callable[[Tensor], Tensor]) -> Change:
    def change(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        save_file(weights | {name: made(weights[name]).contiguous()}, folder / WEIGHTS)

    return change


def config(**changed: object) -> Change:
    def change(folder: Path) -> None:
        held = json.loads((folder / "cfg.json").read_text())
        (folder / "cfg.json").write_text(json.dumps(held | changed))

    return change


def with_nan(weights: Tensor) -> Tensor:
    return weights.masked_fill(torch.eye(*weights.shape).bool(), torch.nan)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (cut(WEIGHTS), f"{WEIGHTS} cannot be read as safetensors .*cut off"),
        (tensor("W_enc", with_nan), f"{WEIGHTS}: W_enc holds NaN"),
        (tensor("W_enc", lambda w: w.T), f"{WEIGHTS}: W_enc has shape \\({N}, {D_IN}\\)"),
        (tensor("b_dec", lambda b: b[:5]), f"{WEIGHTS}: b_dec has shape \\(5,\\), not {D_IN}"),
        (tensor("b_enc", lambda b: b.long()), f"{WEIGHTS}: b_enc holds torch.int64"),
        (tensor("W_dec", lambda w: w[:0]), f"{WEIGHTS}: W_dec is empty"),
        (config(d_sae=99), "cfg.json: d_sae is 99, but the tensors of sae_weights.safetensors have 40"),
        (config(d_sae="40"), "cfg.json: d_sae is '40', not a whole number"),
        (config(architecture="temporal"), "cfg.json: a temporal SAE reads a whole sequence"),
        (config(architecture="holographic"), "cfg.json: the architecture 'holographic' is not known; these are: stand"),
        (config(architecture="jumprelu"), f"{WEIGHTS} has no tensor threshold; it holds W_dec, W_enc, b_dec, b_enc"),
        (config(architecture="topk"), "cfg.json: a top-k SAE needs k from 1 to 40"),
        (config(architecture="topk", k=True), "cfg.json: k is True, not a whole number"),
        (config(normalize_activations="covariance_whitening"), "cfg.json: the input is whitened"),
        (config(normalize_activations="sphere"), "cfg.json: normalize_activations is 'sphere', which is not known"),
        (config(activation_fn="tanh-relu"), "cfg.json: the activation function 'tanh-relu' is not known"),
        (
            config(metadata={"hook_name": "blocks.1.attn.hook_z", "hook_head_index": 3}),
            "cfg.json: this SAE reads head 3",
        ),
        (config(metadata=7), "cfg.json: metadata is 7, not an object"),
        (lambda folder: (folder / "cfg.json").unlink(), "nothing says which nonlinearity .*cfg.json"),
        (lambda folder: (folder / "cfg.json").write_text("[" * 100_000), "cfg.json is not JSON"),
        (lambda folder: (folder / "cfg.json").write_text(" " * (5 << 20)), "too many for an SAE's settings"),
        (lambda folder: (folder / WEIGHTS).unlink(), "holds no weights file .*sae_weights.safetensors"),
    ],
)
def test_a_damaged_or_contradictory_sae_is_refused_by_file_and_tensor(
    tmp_path: Path, change: Change, says: str
) -> None:
    change(layouts.write_saelens(tmp_path, draw()))
    with pytest.raises(Invalid, match=says):
        load_sae(tmp_path)


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"encoder.weight": torch.randn(3, D_IN, N), "decoder.weight": torch.randn(3, N, D_IN)}, "a crosscoder reads"),
        ({"w_enc": torch.randn(D_IN, N), "w_dec": torch.randn(N, 4, D_IN)}, "a cross-layer transcoder writes"),
        ({"W_enc_3": torch.randn(N, D_IN), "b_enc_3": torch.randn(N)}, "a cross-layer transcoder writes"),
        ({"D": torch.randn(N, D_IN), "attn_layers.0.k.weight": torch.randn(4, 4)}, "a temporal SAE reads"),
        ({"layer.weight": torch.randn(4, 4)}, "is in no format known here .*it holds layer.weight"),
    ],
)
def test_what_cannot_be_run_is_refused_by_its_name(tmp_path: Path, tensors: dict[str, Tensor], says: str) -> None:
    save_file(tensors, tmp_path / "params.safetensors")
    with pytest.raises(Invalid, match=says):
        load_sae(tmp_path)


def test_a_folder_with_two_saes_names_them(tmp_path: Path) -> None:
    for name in ("blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre"):
        layouts.write_saelens(tmp_path / name, draw())
    with pytest.raises(
        Invalid, match=r"holds 2 SAEs; give one of them: blocks.0.hook_resid_pre/.*blocks.1.hook_resid_pre/"
    ):
        load_sae(tmp_path)
    assert load_sae(tmp_path / "blocks.1.hook_resid_pre").n_features == N


def test_what_a_trainer_leaves_beside_an_sae_does_not_hide_it(tmp_path: Path) -> None:
    layouts.write_saelens(tmp_path, draw())
    save_file({"sparsity": torch.zeros(N)}, tmp_path / "sparsity.safetensors")
    torch.save({"state": {}, "param_groups": []}, tmp_path / "adam.pt")
    assert load_sae(tmp_path).n_features == N


def test_plain_linear_layers_are_not_taken_for_a_librarys(tmp_path: Path) -> None:
    torch.save(linear_tensors(draw()), tmp_path / "mine.pt")
    with pytest.raises(Invalid, match=r"nothing says which nonlinearity it has .*featurescope inspect .*mine.pt"):
        load_sae(tmp_path)


class Harm:
    """Runs a command when it is unpickled by anything that trusts it."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_wants_to_run_something_runs_nothing(tmp_path: Path, zipped: bool) -> None:
    marker = tmp_path / "harmed"
    file = tmp_path / "ae.pt"
    torch.save({"encoder.weight": Harm(marker)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(Invalid, match=r"ae.pt holds more than tensors.*system.*safetensors"):
        load_sae(file)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Harm(marker)))
    assert marker.exists(), "the file would have done it"


def test_a_whole_module_is_refused_with_what_to_do(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(3, 4), tmp_path / "sae.pth")
    with pytest.raises(Invalid, match=r"sae.pth holds more than tensors.*state_dict\(\) with safetensors"):
        load_sae(tmp_path / "sae.pth")


def test_a_bomb_of_a_pickle_is_not_unfolded(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ae.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ae/data.pkl", bytes(64 << 20))
        archive.writestr("ae/version", "3")
    assert (tmp_path / "ae.pt").stat().st_size < 1 << 20
    with pytest.raises(Invalid, match="would unfold to 67,108,865: no weights do that"):
        load_sae(tmp_path / "ae.pt")


def test_a_bomb_of_an_npz_is_not_unfolded(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "params.npz", W_enc=np.zeros((4096, 4096), np.float32))
    with pytest.raises(Invalid, match="no weights do that"):
        load_sae(tmp_path / "params.npz")


def test_an_npz_of_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "params.npz", W_enc=np.array([Harm(tmp_path / "harmed")], dtype=object))
    with pytest.raises(Invalid, match=r"params.npz cannot be read as npz"):
        load_sae(tmp_path / "params.npz")
    assert not (tmp_path / "harmed").exists()


def test_a_tensor_that_claims_more_numbers_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    torch.save({"encoder.weight": torch.zeros(1).expand(1 << 20, 1 << 20)}, tmp_path / "ae.pt")
    with pytest.raises(Invalid, match=r"ae.pt: encoder.weight claims more numbers"):
        load_sae(tmp_path / "ae.pt")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and then nothing", b"no torch file", bytes(range(256)) * 40])
@pytest.mark.parametrize("suffix", [".pt", ".npz", ".safetensors"])
def test_other_bytes_are_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    (tmp_path / f"ae{suffix}").write_bytes(content)
    with pytest.raises(Invalid, match=f"ae{suffix}"):
        load_sae(tmp_path)


def test_a_cut_off_torch_file_is_refused(tmp_path: Path) -> None:
    held = io.BytesIO()
    torch.save(linear_tensors(draw()), held)
    (tmp_path / "ae.pt").write_bytes(held.getvalue()[:-200])
    with pytest.raises(Invalid, match=r"ae\.pt"):
        load_sae(tmp_path)


@pytest.mark.parametrize("linked", [WEIGHTS, "cfg.json"])
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, linked: str) -> None:
    layouts.write_saelens(tmp_path / "elsewhere", draw())
    folder = layouts.write_saelens(tmp_path / "sae", draw())
    (folder / linked).unlink()
    (folder / linked).symlink_to(tmp_path / "elsewhere" / linked)
    with pytest.raises(Invalid, match=f"sae/{linked} is a link to .*elsewhere/{linked}, outside of"):
        load_sae(folder)


def test_links_of_the_hubs_cache_are_followed(tmp_path: Path) -> None:
    repository = tmp_path / "models--someone--saes"
    snapshot = repository / "snapshots" / "abc" / "layer_3"
    (repository / "blobs").mkdir(parents=True)
    layouts.write_saelens(snapshot, draw())
    for file in list(snapshot.iterdir()):
        file.rename(repository / "blobs" / f"hash-of-{file.name}")
        file.symlink_to(repository / "blobs" / f"hash-of-{file.name}")
    assert load_sae(snapshot).n_features == N


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ({"activation": "relu"}, "mine.npz.json: activation and centre_input .* must be said"),
        ({"activation": "gelu", "centre_input": True}, "mine.npz.json: activation is 'gelu', which is not known"),
        ({"activation": "topk", "centre_input": True}, "mine.npz.json: topk needs k"),
        ({"activation": "relu", "centre_input": True, "k": 3}, "mine.npz.json: relu takes no k"),
        ({"activation": "relu", "centre_input": True, "center": 1}, "mine.npz.json: 'center' is not known"),
        ({"activation": "jumprelu", "centre_input": True}, "has no tensor threshold, and its description gives none"),
    ],
)
def test_a_description_that_says_too_little_is_refused(tmp_path: Path, held: dict[str, object], says: str) -> None:
    drawn = draw()
    np.savez(tmp_path / "mine.npz", W_enc=drawn.encoder, W_dec=drawn.decoder, b_enc=drawn.b_enc, b_dec=drawn.b_dec)
    (tmp_path / "mine.npz.json").write_text(json.dumps(held))
    with pytest.raises(Invalid, match=says):
        load_sae(tmp_path)
