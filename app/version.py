"""The version of the installed package, shown on pages and in the API's description."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("featurescope")
except PackageNotFoundError:  # run from a checkout that was never installed
    VERSION = "0"
