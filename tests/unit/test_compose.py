"""docker-compose.yaml, Dockerfile and docker/*.sh: checked as far as it goes without an engine."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from local.environment import Environment
from local.settings import CHECKOUT, LocalSettings
from wattline.settings import Settings

COMPOSE = CHECKOUT / "docker-compose.yaml"
HOME = "/opt/airflow"
VARIABLE = re.compile(r"\$\{(\w+)(:[?-])?([^}]*)\}")
REQUIRED = re.compile(r"\$\{\w+:\?[^}]+\}")
IMAGES_OWN = re.compile(r"(MYSQL|MONGO_INITDB|POSTGRES)_\w+")

RAW = yaml.safe_load(COMPOSE.read_text())
SERVICES = RAW["services"]
LONG_RUNNING = sorted(set(SERVICES) - {"init", "wattline"})


def interpolated(value: Any) -> Any:
    """What Compose makes of `value` when every variable of .env has its own name in lower case as its value."""
    if isinstance(value, dict):
        return {key: interpolated(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [interpolated(entry) for entry in value]
    if not isinstance(value, str):
        return value
    return VARIABLE.sub(lambda found: found[3] if found[2] == ":-" else found[1].lower(), value).replace("$$", "$")


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string below `value`, with where it is."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from texts(entry, f"{path}.{key}")
    elif isinstance(value, list):
        for place, entry in enumerate(value):
            yield from texts(entry, f"{path}[{place}]")
    elif isinstance(value, str):
        yield path, value


def environment(service: str) -> dict[str, Any]:
    found: dict[str, Any] = interpolated(SERVICES[service].get("environment", {}))
    return found


def test_it_fits_the_compose_specification() -> None:
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(interpolated(RAW))] == []


def test_every_image_is_pinned_to_the_versions_of_the_project() -> None:
    project = (CHECKOUT / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    airflow = re.search(r"^apache-airflow==(\S+)$", (CHECKOUT / "requirements.in").read_text(), re.MULTILINE)
    assert version
    assert airflow
    for name, service in SERVICES.items():
        image, _, tag = service["image"].partition(":")
        assert re.fullmatch(r"\d+(\.\d+)*", tag), f"{name}: {service['image']} names no version"
        assert ("build" in service) == (image == "wattline")
        if image == "wattline":
            assert tag == version[1]
    bases = re.findall(r"^FROM (\S+)$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    assert bases == [f"apache/airflow:slim-{airflow[1]}-python3.11"]


def test_no_secret_stands_in_the_file() -> None:
    for path, text in texts(RAW):
        if re.search(r"(PASSWORD|SECRET|TOKEN|KEY)$", path):
            assert REQUIRED.fullmatch(text), f"{path} must be a required variable of .env"
        for password in re.findall(r"://[^:/\s]+:(.+?)@", text) + re.findall(r'"password": "(.*?)"', text):
            assert REQUIRED.fullmatch(password), f"{path} holds a password that is no required variable of .env"


def test_the_example_names_every_variable_and_gives_no_value() -> None:
    example = (CHECKOUT / ".env.example").read_text()
    asked = {found[1] for _, text in texts(RAW) for found in VARIABLE.finditer(text)} | set(RAW["x-settings"])
    required = {found[1] for _, text in texts(RAW) for found in VARIABLE.finditer(text) if found[2] == ":?"}
    assert set(re.findall(r"^#?([A-Z]\w+)=", example, re.MULTILINE)) == asked
    assert set(re.findall(r"^([A-Z]\w+)=$", example, re.MULTILINE)) == required
    assert not re.findall(r"^[A-Z]\w+=.+$", example, re.MULTILINE)
    assert ".env" in (CHECKOUT / ".gitignore").read_text().splitlines()


def test_every_variable_is_one_that_somebody_reads() -> None:
    known = {f"WATTLINE_{name.upper()}" for name in (*Settings.model_fields, *LocalSettings.model_fields)}
    spec = find_spec("airflow")
    assert spec
    assert spec.submodule_search_locations
    config = Path(spec.submodule_search_locations[0]) / "config_templates" / "config.yml"
    sections = yaml.load(config.read_text(), Loader=yaml.CSafeLoader)
    known |= {
        f"AIRFLOW__{section.upper()}__{option.upper()}"
        for section, content in sections.items()
        for option in content["options"]
    }
    code = "".join(path.read_text() for folder in ("dags", "plugins") for path in (CHECKOUT / folder).rglob("*.py"))
    named = re.findall(r'"(solar_(?:mysql|mongo)\w*|myems_\w+)"', code)
    connections = {f"AIRFLOW_CONN_{name.upper()}" for name in named}
    init = set(re.findall(r"AIRFLOW_\w+_PASSWORD", (CHECKOUT / ".env.example").read_text()))
    given = {name for service in SERVICES for name in environment(service) if not IMAGES_OWN.fullmatch(name)}
    assert given - known - connections - init - {"CONNECTION_CHECK_MAX_COUNT"} == set()
    assert connections <= set(environment("scheduler"))


def test_every_setting_of_the_pipelines_can_be_given_in_the_env_file() -> None:
    places = re.compile(r"(mysql|mongo|myems)\w*_url|airflow_\w+|data_dir")
    wanted = {f"WATTLINE_{name.upper()}" for name in Settings.model_fields if not places.fullmatch(name)}
    for service in ("scheduler", "dag-processor", "triggerer"):
        assert {name for name, value in environment(service).items() if value is None} == wanted


def test_connections_are_those_of_the_local_stack(tmp_path: Path) -> None:
    local = Environment(LocalSettings(data_dir=tmp_path)).variables()
    names = {name for name in local if name.startswith("AIRFLOW_CONN_")}
    for service in ("api-server", "scheduler", "dag-processor", "triggerer"):
        there = environment(service)
        assert {name for name in there if name.startswith("AIRFLOW_CONN_")} == names
        for name in names:
            given, expected = json.loads(there[name]), json.loads(local[name])
            for part in ("conn_type", "schema", "login", "extra"):
                assert given[part] == expected[part], f"{service} {name} {part}"
            assert given["host"] in SERVICES


def test_only_init_and_the_command_line_hold_the_owners_and_the_gateways_passwords() -> None:
    for service in ("api-server", "scheduler", "dag-processor", "triggerer"):
        assert not {"mysql_root_password", "mongo_root_password", "mysql_gateway_password"} & {
            word for value in environment(service).values() for word in re.split(r"\W+", value or "")
        }


def test_every_mounted_and_copied_path_exists() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source, target, *options = mount.split(":")
            if source.startswith("."):
                assert (CHECKOUT / source).exists(), mount
                assert target == f"{HOME}/{source.removeprefix('./')}"
                assert options == ["ro"], f"{mount} can be written"
            else:
                assert source in RAW["volumes"], mount
    copied = re.findall(r"^COPY --chown=airflow:0 (.+) \S+$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert all((CHECKOUT / source).exists() for source in sources)
    rules = [line for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == sources


def test_waits_can_end_and_what_runs_is_watched() -> None:
    for name, service in SERVICES.items():
        for other, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other}, which never gets healthy"
            else:
                assert (other, wanted["condition"]) == ("init", "service_completed_successfully")
    for name in LONG_RUNNING:
        assert SERVICES[name]["restart"] == "unless-stopped"
        assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert not {"restart", "healthcheck"} & (set(SERVICES["init"]) | set(SERVICES["wattline"]))


def test_nothing_but_the_api_server_can_be_reached_and_that_from_this_machine_only() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"api-server": ["127.0.0.1:${WATTLINE_PORT_AIRFLOW:-8080}:8080"]}


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_env_fills_every_empty_place_once(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    for name in (".env.example", "docker/new-env.sh"):
        (tmp_path / name).write_bytes((CHECKOUT / name).read_bytes())
    command = ["sh", str(tmp_path / "docker/new-env.sh")]
    subprocess.run(command, check=True, capture_output=True)
    text = (tmp_path / ".env").read_text()
    values = dict(line.split("=") for line in text.splitlines() if re.match(r"[A-Z]", line))
    example = (tmp_path / ".env.example").read_text()
    assert list(values) == re.findall(r"^([A-Z]\w+)=$", example, re.MULTILINE)
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in values.values())
    assert len(set(values.values())) == len(values)
    assert _mode(tmp_path / ".env") == 0o600
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / ".env").read_text() == text


@pytest.fixture
def init(tmp_path: Path) -> dict[str, str]:
    """The environment of docker/init.sh; `wattline` and `airflow` only write down how they are called."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("wattline", "airflow"):
        (commands / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{tmp_path}/calls"\n')
        (commands / name).chmod(0o755)
    path = f"{commands}:{CHECKOUT / '.venv/bin'}:{os.environ['PATH']}"
    passwords = {name: value for name, value in environment("init").items() if name.startswith("AIRFLOW_")}
    return {"PATH": path, "WATTLINE_DATA_DIR": str(tmp_path / "data"), **passwords}


def test_init_makes_what_airflow_cfg_expects_and_keeps_it(init: dict[str, str], tmp_path: Path) -> None:
    command = ["sh", str(CHECKOUT / "docker/init.sh")]
    subprocess.run(command, env=init, check=True, capture_output=True)
    names = set(re.findall(r"secrets/([\w.]+)", (CHECKOUT / "airflow.cfg").read_text()))
    folder = tmp_path / "data" / "secrets"
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(made) == names
    assert all(made.values())
    assert {_mode(folder / name) for name in names} == {0o600}
    assert json.loads(made["airflow_passwords.json"]) == {
        "admin": "airflow_admin_password",
        "viewer": "airflow_viewer_password",
    }
    calls = (tmp_path / "calls").read_text().splitlines()
    pools = f"airflow pools import {HOME}/config/pools.json"
    databases = ["wattline schema upgrade", "wattline meters create"]
    assert calls == [*databases, "airflow db migrate", pools]
    subprocess.run(command, env=init, check=True, capture_output=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == made


def test_init_stops_at_the_first_step_that_fails(init: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin" / "wattline").write_text("#!/bin/sh\nexit 3\n")
    done = subprocess.run(["sh", str(CHECKOUT / "docker/init.sh")], env=init, check=False, capture_output=True)
    assert done.returncode == 3
    assert not (tmp_path / "calls").exists()
