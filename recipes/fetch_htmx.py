"""Puts htmx and its SSE extension, as the django-htmx wheel carries them, into static/vendor: third-party scripts are
installed, not committed.

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
VENDOR = Path(__file__).resolve().parent.parent / "static" / "vendor"
# The name here, the name in the wheel, the sha256 of what was reviewed.
SCRIPTS = (
    (
        "htmx.min.js",
        "django_htmx/static/django_htmx/htmx-2.min.js",
        "71ea67185bfa8c98c39d31717c6fce5d852370fcdfd129db4543774d3145c0de",
    ),
    (
        "htmx-sse.min.js",
        "django_htmx/static/django_htmx/ext/hx-sse-2.min.js",
        "98a46496de0c3605fbffdce9167ba427bdd9553184f83f149c261891a92c0136",
    ),
)


def fetch(python=sys.executable):
    """Returns None when the scripts are there, else why they are not."""
    if all(_is_there(name, digest) for name, _, digest in SCRIPTS):
        return None
    with tempfile.TemporaryDirectory() as folder:
        asked = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
        done = subprocess.run([*asked, "--dest", folder, WHEEL], capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            last = done.stderr.strip().splitlines() or ["pip gave no reason"]
            return f"{WHEEL} could not be downloaded ({last[-1]})"
        with zipfile.ZipFile(wheels[0]) as wheel:
            found = {name: wheel.read(inside) for name, inside, _ in SCRIPTS}
    for name, _, digest in SCRIPTS:
        if _digest(found[name]) != digest:
            return f"{WHEEL} holds another {name} than the one that was reviewed; it was not installed"
    VENDOR.mkdir(parents=True, exist_ok=True)
    for name, script in found.items():
        (VENDOR / name).write_bytes(script)
    return None


def _is_there(name, digest):
    return (VENDOR / name).is_file() and _digest((VENDOR / name).read_bytes()) == digest


def _digest(content):
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    reason = fetch()
    if reason is not None:
        sys.exit(f"htmx: {reason}.")
