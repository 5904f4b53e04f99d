"""SAEDashboard over all features of an SAE, with its default batches; prints seconds. Run by bench.peers in its own
environment: run_sae_dashboard.py FOLDER HOOK, the folder with model/, sae/ and tokens.npy.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from sae_dashboard.sae_vis_data import SaeVisConfig
from sae_dashboard.sae_vis_runner import SaeVisRunner
from sae_lens import SAE
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast


def main() -> None:
    folder, hook = Path(sys.argv[1]), sys.argv[2]
    model = load_model(folder / "model")
    sae = SAE.load_from_disk(str(folder / "sae"), device="cpu")
    tokens = torch.from_numpy(np.load(folder / "tokens.npy"))
    config = SaeVisConfig(hook_point=hook, features=list(range(sae.cfg.d_sae)))
    begin = time.perf_counter()
    SaeVisRunner(config).run(encoder=sae, model=model, tokens=tokens)
    print(time.perf_counter() - begin)


def load_model(folder: Path) -> HookedTransformer:
    """TransformerLens knows models by name; ours has none, so its shape is told and its weights are converted."""
    source = GPT2LMHeadModel.from_pretrained(folder)
    shape = source.config
    config = HookedTransformerConfig(
        n_layers=shape.n_layer,
        d_model=shape.n_embd,
        n_heads=shape.n_head,
        d_head=shape.n_embd // shape.n_head,
        d_mlp=4 * shape.n_embd,
        n_ctx=shape.n_positions,
        d_vocab=shape.vocab_size,
        act_fn="gelu_new",
        eps=shape.layer_norm_epsilon,
        normalization_type="LN",
        default_prepend_bos=False,
        device="cpu",
    )
    model = HookedTransformer(config)
    model.load_and_process_state_dict(convert_gpt2_weights(source, config))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    tokenizer.pad_token = tokenizer.bos_token = tokenizer.eos_token = tokenizer.convert_ids_to_tokens(0)
    model.tokenizer = tokenizer
    return model


if __name__ == "__main__":
    main()
