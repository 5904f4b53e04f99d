"""The process that runs the models: begun when it is needed, left alone by who goes, and replaced where it ends."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain import Dictionary
from app.engine.patience import Gone, Patience
from app.engine.runtime import Runtime
from app.errors import Busy, Invalid
from app.live import FeatureStrength, Mode, SteeringRequest, SteeringSummary
from app.scales import Scales
from app.settings import Settings
from app.store.database import Database
from app.store.scales import load_scales
from tests.engine.processes import model_processes

pytestmark = pytest.mark.slow  # the process imports torch
TEXTS = ["The match and the serve"]


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEATURESCOPE_OPENID_SECRET", "hush")
        made = Runtime(Settings(max_waiting=2, trust_remote_code=True, openid_secret="hush", db="where/it/lies.db"))
        yield made
        made.close()


@pytest.fixture(scope="module")
def scales(database: Database, dictionary: Dictionary) -> Scales:
    with database.read() as session:
        return load_scales(session, dictionary)


def steering(**changed: int) -> SteeringRequest:
    asked = SteeringRequest("a", [FeatureStrength(3, 0.5, Mode.ADD)], temperature=3, max_new_tokens=24)
    return replace(asked, **changed)


def test_the_process_is_told_no_secret_of_the_server(runtime: Runtime, dictionary: Dictionary, tmp_path: Path) -> None:
    """A model that brings code along looks for one."""
    found = tmp_path / "found"
    look = "import gc, os\nheld = [one for one in gc.get_objects() if type(one).__name__ == 'Settings']\n"
    look += f"open({str(found)!r}, 'w').write(repr([os.environ, [vars(one) for one in held]]))\n"
    with pytest.raises(RuntimeError, match="SlowConfig"):
        runtime.run_texts(with_code(dictionary, tmp_path, look), TEXTS, 5, [], Patience(60))
    assert "PATH" in found.read_text()
    assert "hush" not in found.read_text()
    assert "lies.db" not in found.read_text()


def test_a_process_that_ended_is_said_and_the_next_call_has_another(runtime: Runtime, dictionary: Dictionary) -> None:
    (first,) = runtime.run_texts(dictionary, TEXTS, 5, [], Patience(60))
    for pid in model_processes():
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(Busy, match="ended"):
        runtime.run_texts(dictionary, TEXTS, 5, [], Patience(60))
    (again,) = runtime.run_texts(dictionary, TEXTS, 5, [], Patience(60))
    assert again.kept.peaks.tolist() == first.kept.peaks.tolist()
    assert len(model_processes()) == 1


def test_a_fault_in_a_call_is_told_and_leaves_the_process_as_it_was(runtime: Runtime, dictionary: Dictionary) -> None:
    with pytest.raises(Invalid, match="no token 99"):
        runtime.next_tokens(dictionary, "a", 99, 5, Patience(60))
    with pytest.raises(RuntimeError, match="model_worker"):
        runtime.next_tokens(replace(dictionary, parameters={}), "a", 0, 5, Patience(60))
    assert runtime.next_tokens(dictionary, "a", 0, 5, Patience(60))


def test_a_client_that_leaves_ends_its_wait_at_once(runtime: Runtime, dictionary: Dictionary, tmp_path: Path) -> None:
    patience = Patience(60)
    threading.Timer(0.5, patience.leave).start()
    began = time.monotonic()
    with pytest.raises(Gone):
        runtime.run_texts(never_loaded(dictionary, tmp_path), TEXTS, 5, [], patience)
    assert time.monotonic() - began < 10


def test_time_is_up_while_a_model_loads_too(runtime: Runtime, dictionary: Dictionary, tmp_path: Path) -> None:
    with pytest.raises(Busy, match="max_seconds"):
        runtime.run_texts(never_loaded(dictionary, tmp_path), TEXTS, 5, [], Patience(1))
    assert runtime.door.n_inside == 0
    assert runtime.run_texts(dictionary, TEXTS, 5, [], Patience(60))  # nobody else waits for that load


def test_a_stream_that_nobody_reads_on_gives_its_place_back(
    runtime: Runtime, dictionary: Dictionary, scales: Scales
) -> None:
    for _ in range(3):  # of two places
        events = iter(runtime.steer(dictionary, scales, steering(max_new_tokens=50, n_samples=4), Patience(60)))
        next(events)
        events.close()
        until = time.monotonic() + 10
        while runtime.door.n_inside and time.monotonic() < until:
            time.sleep(0.01)
    *_, last = runtime.steer(dictionary, scales, steering(), Patience(60))
    assert isinstance(last, SteeringSummary)


def test_a_reader_that_leaves_with_the_last_event_disturbs_no_other_call(
    runtime: Runtime, dictionary: Dictionary, scales: Scales
) -> None:
    for _ in range(30):
        for event in runtime.steer(dictionary, scales, steering(max_new_tokens=1), Patience(60)):
            if isinstance(event, SteeringSummary):
                break
        assert runtime.next_tokens(dictionary, "a", 0, 1, Patience(60))


def test_closing_ends_the_process_in_the_middle_of_a_call(dictionary: Dictionary, tmp_path: Path) -> None:
    before = model_processes()
    runtime = Runtime(Settings(trust_remote_code=True))
    found: list[Exception] = []

    def ask() -> None:
        try:
            runtime.run_texts(never_loaded(dictionary, tmp_path), TEXTS, 5, [], Patience(60))
        except Busy as error:
            found.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while model_processes() <= before:
        time.sleep(0.01)
    runtime.close()
    asking.join(10)
    assert found
    assert model_processes() <= before


def never_loaded(dictionary: Dictionary, folder: Path) -> Dictionary:
    """A dictionary whose model takes an hour."""
    return with_code(dictionary, folder, "import time\n\ntime.sleep(3600)\n")


def with_code(dictionary: Dictionary, folder: Path, code: str) -> Dictionary:
    """A dictionary whose model brings code of its own along."""
    (folder / "code.py").write_text(code)
    config = {"model_type": "slow", "auto_map": {"AutoConfig": "code.SlowConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    return replace(dictionary, model_source=str(folder))
