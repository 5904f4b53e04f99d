"""What turns texts into activations: the model, the SAE, where they meet, and how texts are fed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.engine.hook_points import HookPoint
from app.engine.language_model import LanguageModel
from app.engine.sae import Sae
from app.engine.tokens import Window, windows
from app.errors import Invalid
from app.index.recording import Int64

# Batches keep to these (and to fired.LEAST_TOKENS), so that a matrix product treats every token alike, whatever stands
# beside it in the batch: sentences that begin alike get the same activations to the last bit, at any batch size.
LENGTH_STEP = 16  # rows are padded to a multiple of this
LEAST_POSITIONS = 1024  # a batch is padded with empty rows to this many


@dataclass(frozen=True)
class Reader:
    """What turns texts into activations: the model, the SAE, where they meet, and how texts are fed."""

    model: LanguageModel
    sae: Sae
    hook: HookPoint
    context: int
    prepend_bos: bool
    batch_tokens: int

    @property
    def bos(self) -> list[int]:
        token = self.model.bos_id
        return [token] if self.prepend_bos and token is not None else []

    @property
    def special_ids(self) -> NDArray[np.int64]:
        """Tokens that are masked wherever they stand."""
        return np.array(sorted(set(self.model.tokenizer.all_special_ids)), dtype=np.int64)

    def windows(self, text: str) -> list[Window]:
        return windows(self.model.tokenizer, text, self.context - len(self.bos))

    def batch(self, some: Sequence[Window]) -> tuple[Tensor, Tensor]:
        """Windows padded on the right to one length -> ids and mask, (n_windows, n_positions) each."""
        ids, lengths = self._padded([window.token_ids for window in some], 1)
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        device = self.model.device
        return torch.from_numpy(ids).to(device), torch.from_numpy(mask.astype(np.int64)).to(device)

    def _padded(self, token_ids: Sequence[Sequence[int]], step: int) -> tuple[Int64, Int64]:
        """Ids with BOS before and zeros behind, to a length that is a multiple of step; and each row's own length."""
        bos = self.bos
        lengths = np.array([len(ids) + len(bos) for ids in token_ids], dtype=np.int64)
        longest = min(-(-int(lengths.max()) // step) * step, max(self.model.context, int(lengths.max())))
        padded = np.zeros((len(token_ids), longest), dtype=np.int64)
        padded[:, : len(bos)] = bos
        for row, ids in zip(padded, token_ids, strict=True):
            row[len(bos) : len(bos) + len(ids)] = ids
        return padded, lengths

    @torch.inference_mode()
    def stream(self, token_ids: Sequence[Sequence[int]]) -> Tensor:
        """(n_rows, n_positions, d_in) at the hook for these rows of ids, BOS before each; more rows and positions than
        asked, which are padding. A causal model's tokens never look at the padding behind them, so that nothing is
        masked; an encoder's do."""
        ids, lengths = self._padded(token_ids, LENGTH_STEP)
        n_rows = max(len(ids), -(-LEAST_POSITIONS // ids.shape[1]))
        fed = torch.zeros(n_rows, ids.shape[1], dtype=torch.int64)
        fed[: len(ids)] = torch.from_numpy(ids)
        mask = torch.ones_like(fed)
        if self.model.family.encoder:
            mask[: len(ids)] = torch.from_numpy(np.arange(ids.shape[1]) < lengths[:, None])
        if self.model.device.type == "cuda":
            fed, mask = fed.pin_memory(), mask.pin_memory()
        device = self.model.device
        return self.model.capture(fed.to(device, non_blocking=True), mask.to(device), self.hook)

    @contextmanager
    def within_memory(self, doing: str, remedy: str) -> Iterator[None]:
        """Around what cannot be done in smaller steps. Raises Invalid where the device's memory is too small for it."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            of = f"{self.model.name} and the SAE"
            raise Invalid(f"The memory of {self.model.device} is too small for {doing} with {of}; {remedy}.") from error
