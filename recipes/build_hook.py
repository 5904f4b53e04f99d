"""What a wheel carries beside the code: templates, static files with htmx, and the demo. Run by hatchling."""

import sys
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLED = ("templates", "static", "demo", "docs/definitions.md")


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version, build_data):
        if version == "editable":  # a checkout reads its own folders
            return
        sys.path.insert(0, str(Path(__file__).resolve().parent))
        from fetch_htmx import fetch

        reason = fetch()
        if reason is not None:
            self.app.display_warning(f"The wheel is built without htmx: {reason}.")
        for name in BUNDLED:
            build_data["force_include"][name] = f"app/bundled/{name}"
