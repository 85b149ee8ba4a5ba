"""Settings: which source wins, where a value came from, and what a wrong one is told."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mimo.choices import Settings
from mimo.errors import Unusable
from mimo.home import Home
from mimo.settings import DEFAULT, files, load, shown


@pytest.fixture
def place(tmp_path: Path) -> Home:
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}


@pytest.fixture
def user_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "config" / "mimo" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def refusal(place: Home, environ: dict[str, str], **more: object) -> str:
    with pytest.raises(Unusable) as refused:
        load(place, environ, **more)  # pyright: ignore[reportArgumentType]
    return refused.value.message


def test_nobody_has_to_choose_anything(place: Home, environ: dict[str, str]) -> None:
    settings, origins = load(place, environ)
    assert settings == Settings()
    assert set(origins.values()) == {DEFAULT}
    assert set(shown(settings)) == set(origins)


def test_each_source_is_stronger_than_the_one_before(
    place: Home, environ: dict[str, str], user_file: Callable[[str], Path], tmp_path: Path
) -> None:
    def now(flags: dict[str, str] | None = None, cwd: str | None = None) -> tuple[str, str]:
        settings, origins = load(place, environ, flags, cwd)
        return settings.namespace, str(origins["namespace"])

    path = user_file('namespace = "user"\n')
    assert now() == ("user", f"{path}:1")
    inside = Path(place) / "config.toml"
    inside.write_text('\nnamespace = "inside"\n')
    assert now() == ("inside", f"{inside}:2")
    project = tmp_path / "project"
    (project / "deep").mkdir(parents=True)
    (project / ".mimo.toml").write_text('namespace = "project"\n')
    assert now(cwd=str(project / "deep")) == ("project", f"{project / '.mimo.toml'}:1")
    environ["MIMO_NAMESPACE"] = "environment"
    assert now(cwd=str(project)) == ("environment", "MIMO_NAMESPACE")
    assert now({"namespace": "flag"}, str(project)) == ("flag", "--set namespace")


def test_the_order_of_the_files_is_the_documented_one(place: Home) -> None:
    assert files(place, {"HOME": "/home/x"}) == [
        "/etc/mimo/config.toml",
        "/home/x/.config/mimo/config.toml",
        os.path.join(place, "config.toml"),
    ]


def test_a_daemon_that_serves_many_projects_reads_no_project_file(
    place: Home, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".mimo.toml").write_text('namespace = "here"\n')
    monkeypatch.chdir(tmp_path)
    assert load(place, environ)[0].namespace == ""


def test_a_repository_may_not_reach_beyond_its_root(
    place: Home, environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / ".mimo.toml").write_text('namespace = "above"\n')
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    assert load(place, environ, cwd=str(tmp_path / "repository"))[0].namespace == ""


def test_a_repository_may_set_only_what_is_safe(place: Home, environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".mimo.toml").write_text('[embedding]\nprovider = "openai"\nurl = "http://evil"\n')
    said = refusal(place, environ, cwd=str(tmp_path))
    assert "embedding.provider cannot be set by a project" in said
    assert f"{tmp_path / '.mimo.toml'}:2" in said


def test_an_environment_variable_is_read_as_its_key_wants(place: Home, environ: dict[str, str]) -> None:
    environ |= {
        "MIMO_STORAGE__READERS": "5",
        "MIMO_DAEMON__IDLE_MINUTES": "0.5",
        "MIMO_EMBEDDING__DIMENSION": "384",
        "MIMO_HOME": "/not/a/setting",
    }
    settings, origins = load(place, environ)
    assert (settings.storage.readers, settings.daemon.idle_minutes) == (5, 0.5)
    assert settings.embedding.dimension == 384
    assert str(origins["storage.readers"]) == "MIMO_STORAGE__READERS"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[storage]\nreeders = 4", "unknown setting storage.reeders ({path}:2); did you mean storage.readers?"),
        ("[storag]\nreaders = 4", "unknown setting storag.readers ({path}:2); did you mean storage.readers?"),
        ("readers = 4", "unknown setting readers ({path}:1); did you mean storage.readers?"),
        ("zzz = 4", "unknown setting zzz ({path}:1); 'mimo config show' lists all"),
        ("storage = 4", "unknown setting storage ({path}:1); did you mean storage.readers?"),
        ("[nothing]", "unknown setting nothing ({path}:1)"),
        ("[storage]\n\nreaders = '4'", "storage.readers must be a valid integer (got '4', {path}:3)"),
        ("storage.readers = true", "storage.readers must be a valid integer (got True, {path}:1)"),
        ("[storage]\nreaders = 17", "storage.readers must be less than or equal to 16 (got 17, {path}:2)"),
        ("[storage.readers]\nx = 1", "storage.readers must be a valid integer (got {{'x': 1}}"),
        ("log = {level = 'loud'}", "log.level must be 'debug', 'info', 'warning' or 'error' (got 'loud', {path}:1)"),
        ("[daemon]\nidle_minutes = nan", "daemon.idle_minutes must be a finite number (got nan, {path}:2)"),
        ("x = = 2", "{path} is not valid TOML: Invalid value (at line 1"),
        ("x = '\x00'", "{path} is not valid TOML"),
        ("x = " + "[" * 100_000, "{path} is "),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_its_place_and_the_nearest_right_one(
    text: str, told: str, place: Home, environ: dict[str, str], user_file: Callable[[str], Path]
) -> None:
    path = user_file(text)
    assert told.format(path=path) in refusal(place, environ)


def test_all_wrong_values_are_told_at_once(
    place: Home, environ: dict[str, str], user_file: Callable[[str], Path]
) -> None:
    user_file("[storage]\nreaders = 0\n[log]\nlevel = 3\n")
    said = refusal(place, environ)
    assert "storage.readers" in said
    assert "log.level" in said


def test_a_wrong_variable_is_named(place: Home, environ: dict[str, str]) -> None:
    assert "(got 'five', MIMO_STORAGE__READERS)" in refusal(
        place, environ | {"MIMO_STORAGE__READERS": "five"}
    )
    said = refusal(place, environ | {"MIMO_STORAGE__REDERS": "5"})
    assert said == "unknown setting storage.reders (MIMO_STORAGE__REDERS); did you mean storage.readers?"
    assert "--set log.lvl" in refusal(place, environ, flags={"log.lvl": "info"})


def test_a_file_that_is_no_text_or_cannot_be_read_is_told(
    place: Home, environ: dict[str, str], user_file: Callable[[str], Path]
) -> None:
    path = user_file("")
    path.write_bytes(b"\xff\xfe")
    assert "is not UTF-8 text" in refusal(place, environ)
    path.unlink()
    path.mkdir()
    assert "cannot read the settings file" in refusal(place, environ)


def test_a_secret_is_neither_shown_nor_repeated_in_an_error(
    place: Home, environ: dict[str, str], user_file: Callable[[str], Path]
) -> None:
    settings, _ = load(place, environ | {"MIMO_EMBEDDING__KEY": "sk-very-secret"})
    assert settings.embedding.key.get_secret_value() == "sk-very-secret"
    assert "sk-very-secret" not in f"{shown(settings)} {settings!r}"
    user_file("[embedding]\nkey = ['sk-very-secret']\n")
    assert "sk-very-secret" not in refusal(place, environ)


def test_settings_do_not_change_under_those_who_hold_them() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.storage.readers = 5  # pyright: ignore[reportAttributeAccessIssue]


@given(text=st.text(max_size=80) | st.from_regex(r"(\[?[a-z_.]{1,12}\]? ?=? ?[0-9'\"{}\[\]a-z]{0,8}\n){1,4}"))
def test_any_file_gives_settings_or_one_sentence(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Invariant: whatever the file holds, either settings come out or `Unusable`, nothing else."""
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    said = str(folder / "config.toml")
    try:
        settings, origins = load(Home(folder), {"HOME": str(folder / "nobody")})
        assert set(shown(settings)) == set(origins)
    except Unusable as refused:
        said = refused.message
    assert str(folder / "config.toml") in said
