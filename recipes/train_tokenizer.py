"""Trains the demo's byte-level BPE tokenizer. python recipes/train_tokenizer.py --prose FOLDER --out FOLDER"""

import argparse
from pathlib import Path

from text_data import BOS, PAD, read_corpus, read_prose
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

VOCABULARY = 4096
# The corpus has the languages and the code that the prose lacks; four copies give them tokens of their own.
CORPUS_COPIES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prose", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, default=Path("demo/corpus.jsonl"))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[BOS, PAD], initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    corpus = [s for lines in read_corpus(args.corpus).values() for s in lines]
    tokenizer.train_from_iterator([*read_prose(args.prose), *corpus * CORPUS_COPIES], trainer)
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, bos)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, pad_token=PAD).save_pretrained(args.out)
    n_tokens = sum(len(e.ids) - 1 for e in tokenizer.encode_batch(corpus))
    print(
        f"{tokenizer.get_vocab_size()} tokens; {sum(map(len, corpus)) / n_tokens:.2f} characters a token on the corpus"
    )


if __name__ == "__main__":
    main()
