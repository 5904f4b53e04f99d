import subprocess
from pathlib import Path

import pytest

from tests.dumps import rows
from tests.server import COMMAND, environment, run
from tests.tiny import Tiny


@pytest.mark.slow
def test_a_corpus_from_standard_input_gives_what_its_file_gives_on_any_number_of_cores(
    tiny: Tiny, tmp_path: Path
) -> None:
    asked = ["index", "tiny", "--model", str(tiny.model), "--sae", str(tiny.sae), "--context", "32", "--force"]
    piped, filed = tmp_path / "piped", tmp_path / "filed"
    piped.mkdir()
    filed.mkdir()
    command = [*COMMAND, *asked, "--batch-tokens", "256", "--corpus", "-", "--stdin", "jsonl"]
    with tiny.corpus.open("rb") as corpus:
        environ = environment() | {"OMP_NUM_THREADS": "2"}
        answer = subprocess.run(command, cwd=piped, env=environ, stdin=corpus, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    again = run([*asked, "--corpus", str(tiny.corpus)], filed, OMP_NUM_THREADS="1")
    assert again.returncode == 0, again.stderr
    found, expected = rows(piped / "featurescope.db"), rows(filed / "featurescope.db")
    assert expected["features"]
    for table in ("sentences", "features", "feature_tokens", "feature_examples", "searched_sentences"):
        assert found[table] == expected[table], table
