"""SAEs by name: what a name stands for, and its download from a stand-in of the hub."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

from app.engine.published import find_published, hub_name, open_sae, reading_centred, stated_model
from app.engine.registry import read_registry
from app.errors import NotFound
from tests.hub import Hub, serving_hub
from tests.server import environment, run
from tests.tiny import Tiny, corpus_texts, make_sae, make_tokenizer

SAE_REPO = "jbloom/GPT2-Small-SAEs-Reformatted"
NAME = "saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre"


def test_a_name_says_where_its_sae_lies_and_what_it_reads() -> None:
    sae = find_published("gpt2-small-res-jb/blocks.8.hook_resid_pre")
    assert (sae.repo, sae.path, sae.model) == (SAE_REPO, "blocks.8.hook_resid_pre", "openai-community/gpt2")
    assert (sae.hook_point, sae.centred) == ("blocks.8.hook_resid_pre", True)
    scope = find_published("gemma-scope-2b-pt-att/layer_20/width_16k/average_l0_31")
    assert (scope.hook_point, scope.width, scope.l0) == ("blocks.20.attn.hook_z", 16384, 31)
    assert stated_model("saelens:gemma-scope-2b-pt-res-canonical/layer_0/width_16k/canonical") == "google/gemma-2-2b"
    assert hub_name("pythia-70m-deduped") == "EleutherAI/pythia-70m-deduped"


def test_every_sae_of_the_table_has_a_model_on_the_hub_and_nearly_all_a_hook_point() -> None:
    registry = read_registry()
    saes = [sae for release in registry.releases for sae in registry.saes(release)]
    assert len(saes) > 13_000
    assert {sae.model for sae in saes if sae.model.count("/") != 1} == set()
    # Cross-layer transcoders and SAEs of embeddings read no one hook point.
    assert {sae.release for sae in saes if sae.hook_point is None} <= {
        "mntss-gemma-2-2b-2.5m-clt-as-per-layer",
        "gemma-scope-2b-pt-res",
        "gemma-scope-9b-pt-res",
    }


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gpt2-small-res-jp/blocks.8.hook_resid_pre", "near it are gpt2-small-res-jb"),
        ("gpt2-small-res-jb/blocks.88.hook_resid_pre", r"13 others, such as blocks\.8\.hook_resid_pre"),
        ("gpt2-small-res-jb", "has no SAE ''"),
    ],
)
def test_a_name_that_is_not_there_says_what_is_near(name: str, says: str) -> None:
    with pytest.raises(NotFound, match=says):
        find_published(name)


def test_an_sae_of_a_centred_stream_reads_the_stream_as_it_is(tmp_path: Path) -> None:
    make_sae(tmp_path, apply_b_dec_to_input=True)
    sae = open_sae(str(tmp_path))
    x = torch.randn(9, sae.d_in, generator=torch.Generator().manual_seed(0)) + 2
    mean = x.mean(dim=1, keepdim=True)
    as_is = reading_centred(sae)
    assert torch.allclose(as_is.encode(x), sae.encode(x - mean), atol=1e-5)
    assert torch.allclose(as_is.reconstruct(x), sae.reconstruct(x - mean) + mean, atol=1e-5)
    assert not torch.allclose(sae.encode(x), sae.encode(x - mean), atol=1e-2)


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The SAE's repository with two of its folders, and the model's, under the names that the real ones have."""
    folder = tmp_path_factory.mktemp("repositories")
    model = folder / "gpt2"
    tokenizer = make_tokenizer(model, corpus_texts())
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=9, n_head=4, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(model)
    for layer in (7, 8):
        sae = folder / "saes" / f"blocks.{layer}.hook_resid_pre"
        make_sae(sae)
        old = {"architecture": "standard", "d_in": 32, "d_sae": 24, "model_name": "gpt2-small"}
        old |= {"hook_point": f"blocks.{layer}.hook_resid_pre", "activation_fn_str": "relu", "context_size": 128}
        (sae / "cfg.json").write_text(json.dumps(old))
        weights = load_file(sae / "sae_weights.safetensors")
        del weights["threshold"]
        save_file(weights, sae / "sae_weights.safetensors")
    (folder / "saes" / "blocks.8.hook_resid_pre" / "picture.png").write_bytes(b"x" * 100)
    large = folder / "saes" / "large"
    large.mkdir()
    (large / "one.safetensors").write_bytes(bytes(range(256)) * 48 * 1024)  # 12 MiB: a client asks 10 at a time
    return {SAE_REPO: folder / "saes", "openai-community/gpt2": model}


@pytest.fixture
def hub(repositories: dict[str, Path]) -> Iterator[Hub]:
    with serving_hub(repositories) as hub:
        yield hub


def fetched(
    hub: Hub, cache: Path, path: str = "blocks.8.hook_resid_pre", **more: str
) -> subprocess.CompletedProcess[str]:
    """fetch() in a process of its own: huggingface_hub reads its settings when it is imported."""
    code = (
        "import sys; from app.engine.hub import fetch\nfrom app.errors import FeaturescopeError\n"
        f"try: print(fetch({SAE_REPO!r}, {path!r}))\nexcept FeaturescopeError as error: sys.exit(str(error))"
    )
    environ = environment() | hub.environment(cache) | more
    return subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)


pytest_slow = pytest.mark.slow


@pytest_slow
def test_a_folder_is_downloaded_once_and_found_offline_afterwards(
    hub: Hub, repositories: dict[str, Path], tmp_path: Path
) -> None:
    done = fetched(hub, tmp_path)
    folder = Path(done.stdout.strip())
    assert {file.name for file in folder.iterdir()} == {"cfg.json", "sae_weights.safetensors"}
    original = repositories[SAE_REPO] / "blocks.8.hook_resid_pre" / "sae_weights.safetensors"
    assert (folder / "sae_weights.safetensors").read_bytes() == original.read_bytes()
    got = [path for method, path, _ in hub.requests if method == "GET" and "cdn" in path]
    assert len(got) == 1
    again = fetched(hub, tmp_path)
    assert again.stdout == done.stdout
    assert [path for method, path, _ in hub.requests if method == "GET" and "cdn" in path] == got
    offline = fetched(hub, tmp_path, HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9")
    assert offline.stdout == done.stdout, offline.stderr
    unreachable = fetched(hub, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert unreachable.stdout == done.stdout, unreachable.stderr
    assert "Retrying" not in unreachable.stderr


@pytest_slow
def test_nothing_in_the_cache_and_no_connection_is_said(hub: Hub, tmp_path: Path) -> None:
    done = fetched(hub, tmp_path, HF_HUB_OFFLINE="1")
    assert "is not in the cache of downloads" in done.stderr
    assert "HF_HUB_OFFLINE" in done.stderr
    assert hub.requests == []


@pytest_slow
def test_a_connection_that_breaks_is_resumed_where_it_broke(
    hub: Hub, repositories: dict[str, Path], tmp_path: Path
) -> None:
    hub.cut["one.safetensors"] = 11 << 20
    done = fetched(hub, tmp_path, "large")
    original = repositories[SAE_REPO] / "large" / "one.safetensors"
    assert (Path(done.stdout.strip()) / "one.safetensors").read_bytes() == original.read_bytes()
    got = [asked for method, path, asked in hub.requests if method == "GET" and "cdn" in path]
    assert got == [None, f"bytes={10 << 20}-"]


@pytest_slow
def test_a_file_of_another_checksum_is_refused_and_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.damaged.add("sae_weights.safetensors")
    done = fetched(hub, tmp_path)
    assert "sae_weights.safetensors arrived damaged" in done.stderr
    hub.damaged.clear()
    assert fetched(hub, tmp_path).returncode == 0


@pytest_slow
@pytest.mark.parametrize(
    ("path", "says"),
    [("blocks.9.hook_resid_pre", "has no jbloom/"), ("blocks.8.hook_resid_pre/none.pt", "has no jbloom/")],
)
def test_what_the_hub_does_not_have_is_named(hub: Hub, tmp_path: Path, path: str, says: str) -> None:
    assert says in fetched(hub, tmp_path, path).stderr


@pytest_slow
def test_a_file_comes_with_those_beside_it_of_its_name(hub: Hub, tmp_path: Path) -> None:
    done = fetched(hub, tmp_path, "blocks.7.hook_resid_pre/cfg.json")
    assert Path(done.stdout.strip()).name == "cfg.json"
    assert not any("cdn" in path for _, path, _ in hub.requests)


@pytest_slow
def test_a_name_is_all_that_an_index_needs(hub: Hub, tiny: Tiny, tmp_path: Path) -> None:
    corpus = tmp_path / "x.txt"
    corpus.write_text("\n".join(tiny.texts[:20]))
    arguments = ["index", "g", "--sae", NAME, "--corpus", str(corpus), "--context", "32", "--force"]
    done = run(arguments, tmp_path, **hub.environment(tmp_path / "cache"))
    assert "g is indexed: 24 features" in done.stderr, done.stderr
    unknown = run([*arguments[:3], "hf:no/such/path", *arguments[4:]], tmp_path, **hub.environment(tmp_path / "cache"))
    assert (unknown.returncode, "no repository no/such" in unknown.stderr) == (1, True)
