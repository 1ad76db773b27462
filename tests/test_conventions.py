"""Our conventions, checked: a convention that is not checked is a wish. Reads the code, runs none of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.db import models

PROJECT = Path(__file__).resolve().parents[1]
EDGES = ("web", "api", "management", "tasks.py", "upkeep.py", "admin.py")
# Where something is written that a bill rests on.
CLOCKS = re.compile(
    r"\b(datetime\.(now|utcnow|today)|date\.today|timezone\.(now|localdate|localtime)|time\.time)\b"
)
MONEY_ACTS = re.compile(r"insights\.(billing\.\w+_operations|invoicing)")
NO_STAGES = {*EDGES, "models", "migrations", "templatetags"}
STAGES = sorted(
    file.parent.name
    for file in (PROJECT / "insights").glob("*/__init__.py")
    if file.parent.name not in NO_STAGES
)

# Datetimes of the world and of usage, which have names of their own; every other one ends in _at.
DATETIMES_OF_THE_TRADE = {
    "window_start", "complete_to", "latest_window", "first_window", "last_window_end", "leased_until", "at",
    "counts_from", "effective_from", "issue_from", "period_start", "period_end", "service_start", "service_end",
}  # fmt: skip
DATES_OF_THE_TRADE = {"day", "month", "anchor_day"}
# What others call what we have one word for: such a word in a name of ours would be a second word for one thing.
FORBIDDEN_WORDS = frozenset(
    {
        "customer", "tenant", "org", "metric", "event", "log", "hit", "dedupe", "bucket", "slot", "cursor", "offset",
        "amendment", "product", "package", "rate", "tariff", "bracket", "block", "quota", "modifier", "contract",
        "cycle", "vendor", "integration", "mismatch", "prediction", "hijack", "impersonation", "geo",
    }
)  # fmt: skip
# The same letters for another thing, and where. Each is a decision; the list should only become shorter.
OTHER_MEANINGS = (
    ("cursor", "", "what a database connection gives, and how the API turns pages"),
    ("offset", "insights/ingest/", "the distance of a clock from UTC, and a place in bytes"),
    ("offset", "insights/web/words.py", "the distance of a clock from UTC"),
    ("block", "insights/ingest/lines.py", "lines that are read at once"),
    ("bracket", "insights/ingest/cells.py", "the character"),
    ("product", "insights/values/quantity.py", "what a multiplication gives"),
    (
        "slot",
        "insights/",
        "a stretch of a chart's axis on a local clock, which may be a month and so is no window",
    ),
    ("package", "insights/rating/", "the charge model that sells by the package"),
    ("package", "insights/values/step.py", "the step of that charge model"),
    ("rate", "insights/rating/", "the verb: to find what a quantity costs"),
    ("rate", "insights/billing/", "the same verb"),
    ("rate", "insights/scenarios/", "the same verb"),
    ("bucket", "accounts/rate_limit.py", "the token bucket, which everybody knows by that name"),
    ("rate", "accounts/rate_limit.py", "requests in a second"),
    ("metric", "insights/feeds/metrics_queries.py", "what Prometheus collects"),
    ("bucket", "insights/", "what is shown for one such stretch"),
)
FILE_NAMES_THAT_SAY_NOTHING = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "base",
    "manager",
    "managers",
    "misc",
}
FUNCTION_LINES_MAX = 70


OURS = [
    file
    for folder in ("accounts", "insights", "usage_portal")
    for file in sorted((PROJECT / folder).rglob("*.py"))
    if "migrations" not in file.parts
]
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in OURS}


def python_files(*folders: str) -> list[Path]:
    return [file for file in OURS if any(file.is_relative_to(PROJECT / folder) for folder in folders)]


STAGE_FILES = python_files(*(f"insights/{stage}" for stage in STAGES))


def place(file: Path, node: ast.AST) -> str:
    return f"{file.relative_to(PROJECT)}:{getattr(node, 'lineno', 0)}"


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Every call, by what is called as it is written."""
    return ((ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def own_fields() -> Iterator[tuple[str, models.Field]]:
    for label in ("accounts", "insights"):
        for model in apps.get_app_config(label).get_models():
            for field in model._meta.local_concrete_fields:
                yield f"{model.__name__}.{field.name}", field


class TestFields:
    def test_a_datetime_ends_in_at(self) -> None:
        wrong = [
            name
            for name, field in own_fields()
            if isinstance(field, models.DateTimeField)
            and not field.name.endswith("_at")
            and field.name not in DATETIMES_OF_THE_TRADE
            and not name.startswith(("User.date_", "User.last_login"))
        ]

        assert wrong == []

    def test_a_date_ends_in_date_or_on(self) -> None:
        wrong = [
            name
            for name, field in own_fields()
            if isinstance(field, models.DateField)
            and not isinstance(field, models.DateTimeField)
            and not field.name.endswith(("_date", "_on"))
            and field.name not in DATES_OF_THE_TRADE
        ]

        assert wrong == []

    def test_no_column_is_a_float(self) -> None:
        assert [name for name, field in own_fields() if isinstance(field, models.FloatField)] == []


class TestFunctions:
    def test_a_boolean_is_given_by_name(self) -> None:
        """`roll_up(meter, rebuild=True)` can be read where it is called; `roll_up(meter, True)` cannot."""
        wrong = [
            f"{place(file, function)} {function.name}({argument.arg})"
            for file in STAGE_FILES
            for function in functions(TREES[file])
            if not function.name.startswith("_")
            for argument in positional_booleans(function)
        ]

        assert wrong == []

    def test_no_function_is_longer_than_a_screen(self) -> None:
        wrong = [
            f"{place(file, function)} {function.name}"
            for file in OURS
            for function in functions(TREES[file])
            if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES_MAX
        ]

        assert wrong == []

    def test_everything_is_annotated(self) -> None:
        wrong = [
            f"{place(file, function)} {function.name}"
            for file in OURS
            for function in functions(TREES[file])
            if function.returns is None
        ]

        assert wrong == []


def positional_booleans(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.arg]:
    arguments = [*function.args.posonlyargs, *function.args.args]
    defaults = [None] * (len(arguments) - len(function.args.defaults)) + function.args.defaults
    for argument, default in zip(arguments, defaults, strict=True):
        annotation = ast.unparse(argument.annotation) if argument.annotation else ""
        is_boolean_by_default = isinstance(default, ast.Constant) and isinstance(default.value, bool)
        if is_boolean_by_default or "bool" in re.split(r"\W+", annotation):
            yield argument


class TestWords:
    def test_one_word_for_one_thing(self) -> None:
        wrong = [
            f"{file.relative_to(PROJECT)}: {name} ({word})"
            for file in python_files("accounts", "insights")
            for name in sorted(stored_names(TREES[file]))
            for word in sorted(words_of(name) & FORBIDDEN_WORDS)
            if not has_another_meaning(word, file)
        ]

        assert wrong == []

    @pytest.mark.parametrize(("word", "folder", "_meaning"), OTHER_MEANINGS)
    def test_no_exception_outlives_its_name(self, word: str, folder: str, _meaning: str) -> None:
        assert any(
            word in words_of(name)
            for file in python_files("accounts", "insights")
            if str(file.relative_to(PROJECT)).startswith(folder)
            for name in stored_names(TREES[file])
        )

    def test_the_words_of_the_glossary_are_names(self) -> None:
        table = (PROJECT / "insights" / "README.md").read_text(encoding="utf-8").partition("## Words")[2]
        words = re.findall(r"^\| ([a-z, ]+) \|", table, re.MULTILINE)[1:]
        names = {
            name.lower().replace("_", "")
            for file in python_files("accounts", "insights")
            for name in stored_names(TREES[file])
        }

        assert len(words) > 8
        assert [
            word for each in words for word in each.split(", ") if word.replace(" ", "") not in names
        ] == []

    def test_a_file_name_says_what_is_in_it(self) -> None:
        assert [str(file) for file in OURS if file.stem in FILE_NAMES_THAT_SAY_NOTHING] == []

    def test_nothing_is_left_for_later(self) -> None:
        later = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
        texts = [*OURS, *(PROJECT / "templates").rglob("*.html"), *(PROJECT / "static" / "js").rglob("*.js")]

        assert [str(file) for file in texts if later.search(file.read_text(encoding="utf-8"))] == []

    def test_every_file_says_what_it_is_for(self) -> None:
        silent = [
            str(file.relative_to(PROJECT))
            for file in OURS
            if file.stat().st_size and not ast.get_docstring(TREES[file])
        ]

        assert silent == []


def has_another_meaning(word: str, file: Path) -> bool:
    path = str(file.relative_to(PROJECT))
    return any(word == other and path.startswith(folder) for other, folder, _meaning in OTHER_MEANINGS)


def words_of(name: str) -> set[str]:
    """The words of a name in either way of writing it, each also without the s of a plural."""
    words = set(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_"))
    return words | {word.removesuffix("s") for word in words}


def stored_names(tree: ast.Module) -> set[str]:
    """Every name that the code itself gives: functions, classes, arguments, variables, attributes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return names - {"__slots__"}


class TestNumbersAndTime:
    def test_a_quantity_becomes_a_float_in_charts_only(self) -> None:
        wrong = [
            place(file, node)
            for file in python_files("insights")
            if file != PROJECT / "insights" / "web" / "charts.py"
            for called, node in calls(TREES[file])
            if called in ("float", "Decimal.from_float")
        ]

        assert wrong == []

    def test_no_decimal_is_made_of_a_float(self) -> None:
        wrong = [
            place(file, node)
            for file in OURS
            for called, node in calls(TREES[file])
            if called.endswith("Decimal")
            and any(isinstance(value, ast.Constant) and isinstance(value.value, float) for value in node.args)
        ]

        assert wrong == []

    def test_the_clock_is_read_at_the_edges(self) -> None:
        """Stages are told the time, so that what they do can be told again later."""
        inner = [file for file in python_files("insights") if not is_edge(file)]

        wrong = [
            place(file, node)
            for file in inner
            for called, node in calls(TREES[file])
            if CLOCKS.search(called)
        ]

        assert wrong == []

    def test_acts_on_money_ask_the_database_what_time_it_is(self) -> None:
        """Hosts may be days off, and nothing is due, begun or over for that."""
        wrong = [
            place(file, node)
            for file in OURS
            if (acts := money_acts(TREES[file]))
            for called, node in calls(TREES[file])
            if acts & {called.rpartition(".")[2], partial_of(called, node)}
            and any(word.arg == "now" and CLOCKS.search(ast.unparse(word.value)) for word in node.keywords)
        ]

        assert wrong == []

    def test_no_time_is_without_a_zone(self) -> None:
        wrong = [
            place(file, node)
            for file in OURS
            for called, node in calls(TREES[file])
            if (called.endswith("datetime.now") and not node.args and not node.keywords)
            or called.endswith(("utcnow", "date.today", "utcfromtimestamp"))
        ]

        assert wrong == []


def money_acts(tree: ast.Module) -> set[str]:
    """The names under which a module knows what writes about prices, subscriptions and invoices."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and MONEY_ACTS.fullmatch(node.module or "")
        for alias in node.names
    }


def partial_of(called: str, node: ast.Call) -> str:
    """What a call of `partial` is going to call."""
    return ast.unparse(node.args[0]) if called == "partial" and node.args else ""


def is_edge(file: Path) -> bool:
    return file.relative_to(PROJECT / "insights").parts[0] in EDGES


class TestReadmes:
    @pytest.mark.parametrize("stage", STAGES)
    def test_a_stage_says_what_is_its_own(self, stage: str) -> None:
        readme = PROJECT / "insights" / stage / "README.md"

        text = readme.read_text(encoding="utf-8").lower() if readme.exists() else ""

        assert [word for word in ("owns", "does not own", "invariants") if word not in text] == []
