"""A source goes to a TOML file and back by command, audited as done on the command line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry
from accounts.tenancy import as_staff
from insights.models import Source
from tests import factories

pytestmark = pytest.mark.database

TOML = 'slug = "edge"\nname = "Edge"\nkey_kind = "window"\nwindow = "hour"\n'


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_import_and_export_are_each_others_reverse(cast: Any, tmp_path: Path) -> None:
    factories.make_meter()
    file = tmp_path / "edge.toml"
    file.write_text(TOML)

    said = [run("import_source", str(file))]
    run("export_source", "edge", "--output", str(file))
    said.append(run("import_source", str(file)))

    assert said == ["edge: made\n", "edge: unchanged\n"]
    assert run("export_source", "edge") == file.read_text()
    with as_staff():
        assert list(AuditEntry.objects.values_list("act", "actor_name")) == [
            ("source.create", "command line")
        ]


def test_import_binds_a_new_source_to_an_account(cast: Any, tmp_path: Path) -> None:
    factories.make_meter()
    file = tmp_path / "edge.toml"
    file.write_text(TOML)

    run("import_source", str(file), "--account", "ansel")

    with as_staff():
        assert Source.objects.get().account_id == cast.ours.pk


@pytest.mark.parametrize(
    ("text", "words"),
    [("slug =", "is not TOML"), (TOML.replace("hour", "week"), "window: must be one of")],
)
def test_faults_are_printed_with_their_field(cast: Any, tmp_path: Path, text: str, words: str) -> None:
    factories.make_meter()
    file = tmp_path / "edge.toml"
    file.write_text(text)

    with pytest.raises(CommandError, match=words):
        run("import_source", str(file))


def test_an_absent_file_and_an_unknown_source_are_named(cast: Any, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        run("import_source", str(tmp_path / "none.toml"))
    with pytest.raises(CommandError, match="there is no source 'nothing'"):
        run("export_source", "nothing")
