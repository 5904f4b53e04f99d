"""Makes the environment of a checkout, saying what it does; what is in the way is one sentence.

python recipes/set_up.py .venv [--extras test,lint]
Plain old syntax, so that a Python that is too old reaches the sentence that says so.
"""

import importlib.util
import os
import subprocess
import sys

OLDEST = (3, 11)


def main():
    if sys.version_info < OLDEST:
        sys.exit(
            "Python %d.%d is too old: Featurescope needs 3.11 or newer (make run PYTHON=python3.12)."
            % sys.version_info[:2]
        )
    folder = sys.argv[1]
    extras = sys.argv[3] if len(sys.argv) > 3 else ""
    python = os.path.join(folder, "bin", "python")
    if not os.access(os.path.dirname(os.path.abspath(folder)), os.W_OK):
        sys.exit("This folder cannot be written to: clone Featurescope into one of yours.")
    if not os.path.exists(os.path.join(folder, "bin", "pip")):
        # venv needs ensurepip, and some systems leave it out.
        if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
            sys.exit("Python's venv module is missing: install it (on Debian and Ubuntu the package python3-venv).")
        import venv

        say("Making the environment %s." % folder)
        try:
            venv.create(folder, with_pip=True, clear=os.path.exists(folder))
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit("The environment %s cannot be made: %s." % (folder, error))
    torch = [line.strip() for line in open("constraints.txt") if line.startswith("torch==")]
    say("Installing torch, the largest part.")
    # Without the constraints: a build's own suffix (+cpu) is no other version.
    pip(python, torch, "torch could not be installed")
    say("Installing Featurescope and what it needs.")
    # What no test may see stays as it was: an installed torch satisfies its pin.
    target = ".[%s]" % extras if extras else "."
    pip(python, ["-c", "constraints.txt", "-e", target], "Featurescope could not be installed")
    from fetch_htmx import fetch

    reason = fetch(python)
    if reason is not None:
        say("Going on without htmx (pages work without it): %s." % reason)


def say(text):
    print(text, flush=True)


def pip(python, asked, failure):
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.call([*command, *asked]) != 0:
        sys.exit("%s: pip says why above. Is there a network, and room on the disk?" % failure)


if __name__ == "__main__":
    main()
