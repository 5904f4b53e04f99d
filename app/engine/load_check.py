"""Does an SAE fit the model where it is read? Measured on a few texts, with the usual mistakes tried."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from app.engine.hook_points import HookPoint, parse_hook_point
from app.engine.language_model import LanguageModel
from app.engine.sae import Sae, written_at
from app.engine.tokens import Window, windows
from app.errors import Invalid

TOKENS = 2048  # of the first texts, one window each
BATCH = 8
MASSIVE = 10  # tokens whose norm is this many times the median carry no meaning of their own (Sun et al. 2024)
# Below these nothing sensible is measured: real SAEs explain more, some of attention heads as little as 0.13.
LEAST_EXPLAINED = 0.1
NORM_RATIO = (0.4, 2.0)
L0_FACTOR = 4.0
ENOUGH = 200  # tokens, below which nothing is judged
MOST_SILENT = 0.9  # where there are more tokens than features
# An alternative is the cause where its cost is at most this share of what is found; less is asked of what the SAE says.
CLEARLY, AS_STATED = 0.75, 0.87


@dataclass(frozen=True)
class Fit:
    """explained_variance: 1 - E|y - y_hat|^2 / E|y - E y|^2; l0: active features a token; silent: share that never
    fired; norm_ratio: mean of |y_hat| / |y|. Over text tokens, without each window's first and those of massive norm.
    """

    explained_variance: float
    l0: float
    silent: float
    norm_ratio: float
    n_tokens: int

    @property
    def cost(self) -> float:
        """The share of variance left times the root of L0: firing more always explains more, even by mistake.

        Without bound where nothing is explained: an SAE that never fires would cost nothing.
        """
        if self.explained_variance <= 0:
            return math.inf
        return (1 - self.explained_variance) * math.sqrt(self.l0)


@dataclass(frozen=True)
class Trial:
    """One way of running the SAE: what was changed, how to have it so, whether the SAE's files say so; its fit."""

    change: str
    remedy: str
    stated: bool
    fit: Fit


@dataclass(frozen=True)
class Check:
    """problems: what cannot be right, in words; causes: the trials that are clearly better, the best first."""

    setting: str
    fit: Fit
    stated_l0: float | None
    trials: Sequence[Trial]
    problems: Sequence[str]
    causes: Sequence[Trial]

    @property
    def fits(self) -> bool:
        return not self.problems and not self.causes


@dataclass(frozen=True)
class _Run:
    """One SAE at one place, with or without BOS."""

    sae: Sae
    hook: HookPoint
    hook_out: HookPoint
    bos: bool


@torch.inference_mode()
def check_load(
    model: LanguageModel, sae: Sae, hook: HookPoint, prepend_bos: bool, texts: Sequence[str], context: int
) -> Check:
    """Measure the SAE as it is to run and with each usual mistake undone. Raises Invalid for texts without tokens."""
    out = written_at(sae, hook)
    given = _Run(sae, hook, out, prepend_bos)
    some = _first_windows(model, texts, context)
    changes = [*_layers(model, given), *_bos(model, given), *_normalisations(model, given, some)]
    runs = [given, *(run for run, *_ in changes)]
    found, *fits = _measure(model, runs, some)
    trials = [Trial(what, remedy, stated, fit) for (_, what, remedy, stated), fit in zip(changes, fits, strict=True)]
    causes = sorted((t for t in trials if _is_cause(found, t)), key=lambda t: t.fit.cost)
    setting = f"{hook}, {'with' if prepend_bos else 'without'} BOS, normalisation {sae.normalisation}"
    return Check(setting, found, sae.l0, trials, _problems(found, sae), causes)


def explain(check: Check, sae_says: str | None, model: str) -> str:
    """Why the check stops a build: what was seen, what is usual, and the likeliest causes in order."""
    seen = (
        f"over {check.fit.n_tokens:,} tokens it explains {check.fit.explained_variance:.2f} of the variance, with "
        f"{check.fit.l0:.1f} features a token and reconstructions of {check.fit.norm_ratio:.2f} times the norm"
    )
    lines = [f"The SAE does not seem to fit {model} at {check.setting}: {seen}.", *(f"- {p}" for p in check.problems)]
    if check.causes:
        lines.append("Likeliest causes, tried on the same tokens:")
        lines += [
            f"{number}. {cause.change}: it explains {cause.fit.explained_variance:.2f}, L0 {cause.fit.l0:.1f}. "
            f"{cause.remedy}"
            for number, cause in enumerate(check.causes[:3], 1)
        ]
    else:
        other = f"It says that it was trained on {sae_says}. " if sae_says else ""
        lines.append(
            f"None of the neighbouring layers, normalisations, or BOS is better. {other}Likeliest is another model "
            "(or another training stage of it) than the SAE was trained on, then a hook point of another kind, then "
            "text unlike anything that it was trained on."
        )
    lines.append("--force goes on all the same.")
    return "\n".join(lines)


Change = tuple[_Run, str, str, bool]  # the run, what is changed, how to have it so, whether the SAE says so


def _layers(model: LanguageModel, given: _Run) -> Iterator[Change]:
    """The same site one layer up and down, and where the SAE says it reads, if that is elsewhere."""
    if given.hook.module:
        return
    candidates = [replace(given.hook, layer=given.hook.layer + step) for step in (-1, 1)]
    own = _own_hook(given.sae)
    if own is not None and own != given.hook and own not in candidates:
        candidates.append(own)
    for hook in candidates:
        step = hook.layer - given.hook.layer
        out = hook if not given.sae.transcoder else replace(given.hook_out, layer=given.hook_out.layer + step)
        if all(_reads(model, place, width) for place, width in ((hook, given.sae.d_in), (out, given.sae.d_out))):
            run = replace(given, hook=hook, hook_out=out)
            yield run, f"It reads {hook}", f"Give --hook {hook}.", hook == own


def _bos(model: LanguageModel, given: _Run) -> Iterator[Change]:
    if model.bos_id is not None:
        word, flag = ("without", "--no-bos") if given.bos else ("with", "--bos")
        stated = given.sae.prepend_bos is not None and given.sae.prepend_bos != given.bos
        yield replace(given, bos=not given.bos), f"It was trained {word} BOS", f"Give {flag}.", stated


def _normalisations(model: LanguageModel, given: _Run, some: Sequence[Window]) -> Iterator[Change]:
    sae = given.sae
    for name in ("none", "constant_norm_rescale", "layer_norm"):
        if name != sae.normalisation and not (name == "none" and sae.normalisation == "expected_average_only_in"):
            run = replace(given, sae=replace(sae, normalisation=name))
            what = "Its input is not to be normalised" if name == "none" else f"Its input is to be normalised ({name})"
            yield run, what, f"Give --normalisation {name}.", False
    if sae.normalisation in ("none", "expected_average_only_in"):
        x = torch.cat([x for x, _ in _activations(model, given, some[:BATCH])])
        factor = float(sae.d_in**0.5 / x.float().norm(dim=1).mean())
        unscaled = sae.normalisation == "expected_average_only_in"
        for scale, what, stated in (
            (factor, "is to be scaled", unscaled),
            (1 / factor, "is scaled, and is not to be", False),
        ):
            run = replace(given, sae=sae.with_input_scale(scale))
            yield run, f"Its input {what} (expected_average_only_in)", f"Give --normalisation {scale:.4g}.", stated


def _measure(model: LanguageModel, runs: Sequence[_Run], some: Sequence[Window]) -> list[Fit]:
    """The fit of every run. Runs with the same BOS share their forwards."""
    sums = [_Sums(run.sae) for run in runs]
    for bos in (True, False):
        together = [(run, s) for run, s in zip(runs, sums, strict=True) if run.bos == bos]
        hooks = list(dict.fromkeys(hook for run, _ in together for hook in (run.hook, run.hook_out)))
        for batch in _batches(some):
            if not together:
                break
            captured, text = _capture(model, hooks, batch, bos)
            for run, s in together:
                s.add(captured[hooks.index(run.hook)][text], captured[hooks.index(run.hook_out)][text])
    return [s.fit() for s in sums]


class _Sums:
    """Sums over tokens of one run, in float64."""

    def __init__(self, sae: Sae) -> None:
        self.sae = sae
        self.n = 0
        self.total = torch.zeros(sae.d_out, dtype=torch.float64)
        self.square = self.error = self.active = self.ratio = 0.0
        self.fired = torch.zeros(sae.n_features, dtype=torch.bool)

    def add(self, x: Tensor, y: Tensor) -> None:
        norms = y.float().norm(dim=1)
        usual = norms <= MASSIVE * norms.median()
        x, y = x[usual], y[usual].double().cpu()
        features = self.sae.encode(x)
        made = self.sae.decode(features, x).double().cpu()
        self.n += len(x)
        self.total += y.sum(dim=0)
        self.square += float(y.square().sum())
        self.error += float((y - made).square().sum())
        self.active += float((features != 0).sum())
        self.ratio += float((made.norm(dim=1) / y.norm(dim=1).clamp(min=1e-12)).sum())
        self.fired |= (features != 0).any(dim=0).cpu()

    def fit(self) -> Fit:
        n = max(self.n, 1)
        variance = self.square - float(self.total.square().sum()) / n
        explained = 1 - self.error / variance if variance > 0 else 0.0
        silent = 1 - float(self.fired.float().mean())
        return Fit(explained, self.active / n, silent, self.ratio / n, self.n)


def _problems(fit: Fit, sae: Sae) -> list[str]:
    if fit.n_tokens < ENOUGH:
        return []
    found = []
    if not fit.explained_variance >= LEAST_EXPLAINED:
        found.append(
            f"Variance explained is {fit.explained_variance:.2f}; usual is 0.6 to 0.95, and below 0 the mean would do."
        )
    if not NORM_RATIO[0] <= fit.norm_ratio <= NORM_RATIO[1]:
        found.append(f"Reconstructions have {fit.norm_ratio:.2f} times the norm; usual is 0.8 to 1.")
    if sae.l0 and not sae.l0 / L0_FACTOR <= fit.l0 <= sae.l0 * L0_FACTOR:
        found.append(f"{fit.l0:.1f} features fire at a token, and the SAE states {sae.l0:g}.")
    if fit.silent > MOST_SILENT and fit.n_tokens > sae.n_features:
        found.append(f"{fit.silent:.0%} of its features never fire.")
    return found


def _is_cause(found: Fit, trial: Trial) -> bool:
    if found.n_tokens < ENOUGH or trial.fit.explained_variance < LEAST_EXPLAINED:
        return False
    return trial.fit.cost < found.cost * (AS_STATED if trial.stated else CLEARLY)


def _own_hook(sae: Sae) -> HookPoint | None:
    try:
        return parse_hook_point(sae.hook_point) if sae.hook_point else None
    except Invalid:
        return None


def _reads(model: LanguageModel, hook: HookPoint, width: int) -> bool:
    if hook.layer < 0:
        return False
    try:
        model.check_hook(hook)
    except Invalid:
        return False
    return model.width(hook) == width


def _first_windows(model: LanguageModel, texts: Sequence[str], context: int) -> list[Window]:
    """The first window of each text, until they hold TOKENS tokens, with room for a BOS."""
    some: list[Window] = []
    n_tokens = 0
    for text in texts:
        for window in windows(model.tokenizer, text, context - 1)[:1]:
            if len(window.token_ids) > 1:
                some.append(window)
                n_tokens += len(window.token_ids)
        if n_tokens >= TOKENS:
            break
    if not some:
        raise Invalid("The first texts hold no two tokens in a row: the SAE cannot be checked on them.")
    return some


def _batches(some: Sequence[Window]) -> Iterator[Sequence[Window]]:
    for first in range(0, len(some), BATCH):
        yield some[first : first + BATCH]


def _activations(model: LanguageModel, run: _Run, some: Sequence[Window]) -> Iterator[tuple[Tensor, Tensor]]:
    for batch in _batches(some):
        (x, y), text = _capture(model, [run.hook, run.hook_out], batch, run.bos)
        yield x[text], y[text]


def _capture(
    model: LanguageModel, hooks: Sequence[HookPoint], batch: Sequence[Window], bos: bool
) -> tuple[list[Tensor], Tensor]:
    """Activations at each hook, (n_windows, n_positions, width), and which of them are text tokens that count."""
    before = [model.bos_id] if bos and model.bos_id is not None else []
    rows = [[*before, *window.token_ids] for window in batch]
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, content in enumerate(rows):
        ids[row, : len(content)] = torch.tensor(content)
        mask[row, : len(content)] = 1
    text = mask.bool()
    text[:, : len(before) + 1] = False
    text &= ~torch.isin(ids, torch.tensor(sorted(set(model.tokenizer.all_special_ids))))
    device = model.device
    return model.capture_each(ids.to(device), mask.to(device), hooks), text.to(device)
