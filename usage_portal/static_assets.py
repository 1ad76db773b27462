"""Static files that come out of installed packages, and how all of them are fingerprinted and compressed.

Plotly writes its style rules into the page from script, which a strict content policy forbids. They stand as
a readable literal in its bundle, so they are taken out here and served as a style sheet; linked with
`id="plotly.js-style-global" class="no-inline-styles"` they make Plotly leave its own alone.
"""

import ast
import importlib.util
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brotli
from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.contrib.staticfiles.utils import matches_patterns
from django.core.files.storage import FileSystemStorage
from whitenoise.compress import Compressor
from whitenoise.storage import CompressedManifestStaticFilesStorage

FOLDER = "plotly"
SCRIPT_NAME = "plotly.min.js"
STYLES_NAME = "plotly-styles.css"

RULES_START = '{"X,X div":'
STRING = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\''
BARE_NAME = r"[A-Za-z]\w*"
RULE = re.compile(rf"({STRING}|{BARE_NAME}):({STRING})([,}}])")

# The best takes twenty times as long as this for a tenth less.
BROTLI_QUALITY = 9


class UnknownPlotlyBundle(Exception):
    """The style rules do not stand in this version of plotly.js as they stood in the ones we know."""


def plotly_style_rules(script: str) -> str:
    """The rules Plotly would insert, as a style sheet.

    It inserts each rule before the earlier ones, so the last of the literal comes first here.
    """
    start = script.find(RULES_START)
    if start < 0:
        raise UnknownPlotlyBundle(f"{RULES_START} is not in the bundle.")
    rules: list[str] = []
    position, ending = start + 1, ","
    while ending == ",":
        found = RULE.match(script, position)
        if found is None:
            raise UnknownPlotlyBundle(f"A style rule could not be read: {script[position : position + 80]!r}")
        selector, declarations = (_text(literal) for literal in found.group(1, 2))
        selector = re.sub("^,", " ,", selector).replace("X", ".js-plotly-plot .plotly")
        rules.append(f"{selector.replace('Y', '.plotly-notifier')}{{{declarations}}}")
        position, ending = found.end(), found.group(3)
    return "\n".join(reversed(rules)) + "\n"


def _text(literal: str) -> str:
    return str(ast.literal_eval(literal)) if literal[0] in "\"'" else literal


def plotly_script_path() -> Path:
    # Located without importing: collecting files needs no charting library in memory.
    spec = importlib.util.find_spec("plotly")
    if spec is None or not spec.submodule_search_locations:
        raise UnknownPlotlyBundle("The plotly package is not installed.")
    return Path(spec.submodule_search_locations[0]) / "package_data" / SCRIPT_NAME


class PlotlyFinder(BaseFinder):
    """Finds `plotly/plotly.min.js` in the wheel and `plotly/plotly-styles.css` made from it."""

    def check(self, **kwargs: Any) -> list[Any]:
        return []

    def list(self, ignore_patterns: Any) -> Iterator[tuple[str, FileSystemStorage]]:
        for path in (plotly_script_path(), _styles_path()):
            if not matches_patterns(path.name, ignore_patterns or []):
                storage = FileSystemStorage(location=path.parent)
                storage.prefix = FOLDER  # type: ignore[attr-defined]
                yield path.name, storage

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        if path == f"{FOLDER}/{SCRIPT_NAME}":
            found = str(plotly_script_path())
        elif path == f"{FOLDER}/{STYLES_NAME}":
            found = str(_styles_path())
        else:
            return []
        return [found] if find_all else found


def _styles_path() -> Path:
    """The generated style sheet, made again when the bundle is newer or of another size."""
    script = plotly_script_path()
    known = script.stat()
    folder = Path(settings.VAR_DIR) / "generated" / f"plotly-{known.st_size}-{int(known.st_mtime)}"
    styles = folder / STYLES_NAME
    if not styles.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{STYLES_NAME}.{os.getpid()}"
        unfinished.write_text(plotly_style_rules(script.read_text()))
        unfinished.replace(styles)
    return styles


class FastCompressor(Compressor):
    """Brotli at a quality that a first start need not wait for."""

    @staticmethod
    def compress_brotli(data: bytes) -> bytes:
        return bytes(brotli.compress(data, quality=BROTLI_QUALITY))


class FingerprintedStorage(CompressedManifestStaticFilesStorage):
    """Names files by their content and stores them compressed beside, for WhiteNoise to serve."""

    # Pages name only fingerprinted files, so the plain copies need not be packed and kept.
    keep_only_hashed_files = True

    def create_compressor(self, **kwargs: Any) -> Compressor:
        return FastCompressor(**kwargs)
