"""Puts htmx, as the django-htmx wheel carries it, into static/vendor: third-party scripts are installed, not committed.

python recipes/fetch_htmx.py
Standard library and pip alone. Where it cannot be had, pages work without it: every one works without JavaScript.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "django-htmx==1.29.0"
INSIDE = "django_htmx/static/django_htmx/htmx-2.min.js"
SHA256 = "71ea67185bfa8c98c39d31717c6fce5d852370fcdfd129db4543774d3145c0de"
TARGET = Path(__file__).resolve().parent.parent / "static" / "vendor" / "htmx.min.js"


def fetch(python=sys.executable):
    """Returns None when htmx is there, else why it is not."""
    if TARGET.is_file() and _digest(TARGET.read_bytes()) == SHA256:
        return None
    with tempfile.TemporaryDirectory() as folder:
        asked = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
        done = subprocess.run([*asked, "--dest", folder, WHEEL], capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            last = done.stderr.strip().splitlines() or ["pip gave no reason"]
            return f"{WHEEL} could not be downloaded ({last[-1]})"
        with zipfile.ZipFile(wheels[0]) as wheel:
            script = wheel.read(INSIDE)
    if _digest(script) != SHA256:
        return f"{WHEEL} holds another htmx than the one that was reviewed; it was not installed"
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(script)
    return None


def _digest(content):
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    reason = fetch()
    if reason is not None:
        sys.exit(f"htmx: {reason}.")
