"""cluster.yaml: valid for ``ray up``, safe by default, and free of one account's or machine's values. Offline."""

from __future__ import annotations

import copy
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "cluster.yaml").read_text()


@pytest.fixture
def config() -> dict[str, Any]:
    return yaml.safe_load(TEXT)


def validate(config: dict[str, Any]) -> dict[str, Any]:
    """What ``ray up`` checks before it asks the cloud for anything."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


def shell_commands(config: dict[str, Any]) -> list[str]:
    return [command for key, value in config.items() if key.endswith("commands") for command in value]


def test_ray_accepts_it(config):
    prepared = validate(config)

    assert prepared["available_node_types"]["gpu_spot"]["max_workers"] <= prepared["max_workers"]


def test_ray_would_refuse_a_mistyped_key(config):
    import jsonschema

    config["available_node_types"]["gpu_spot"]["min_worker"] = 1

    with pytest.raises(jsonschema.ValidationError, match="min_worker"):
        validate(config)


def test_limits_are_in_order(config):
    types = config["available_node_types"]

    for name, node in types.items():
        assert 0 <= node["min_workers"] <= node["max_workers"] <= config["max_workers"], name
    assert sum(node["min_workers"] for node in types.values()) <= config["max_workers"]


def test_head_is_on_demand_and_takes_no_stage(config):
    head = config["available_node_types"][config["head_node_type"]]

    assert "InstanceMarketOptions" not in head["node_config"]
    assert head["resources"]["CPU"] == 0
    assert head["max_workers"] == 0


def test_workers_are_spot(config):
    workers = {name: node for name, node in config["available_node_types"].items() if name != config["head_node_type"]}

    assert workers
    for name, node in workers.items():
        assert node["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot", name
        assert node["max_workers"] > node["min_workers"], f"{name} does not scale"


def test_token_authentication_is_explicit_wherever_ray_starts(config):
    starts = [
        command
        for key in ("head_start_ray_commands", "worker_start_ray_commands")
        for command in config[key]
        if "ray start" in command
    ]

    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token ray start" in command for command in starts)
    assert any("RAY_AUTH_MODE=token" in command for command in config["setup_commands"]), "drivers need it too"
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


def test_dashboard_listens_on_the_head_alone(config):
    (start,) = [command for command in config["head_start_ray_commands"] if "ray start" in command]

    assert re.findall(r"--dashboard-host[= ](\S+)", start) == ["127.0.0.1"]
    assert "0.0.0.0" not in TEXT


def test_nodes_get_the_whole_project_and_its_pinned_versions(config):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    mounts = {local: remote for remote, local in config["file_mounts"].items() if not local.startswith("~")}
    packages = {pattern.rstrip("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]}

    assert packages | {"pyproject.toml", "constraints.txt", project["project"]["readme"]} == set(mounts)
    assert all(remote == f"~/stilt-sweeps/{local}" for local, remote in mounts.items())
    assert any(re.search(r"pip install .*-c constraints\.txt", command) for command in config["setup_commands"])


def test_runs_go_to_s3(config):
    (line,) = [command for command in config["head_setup_commands"] if "ORCHESTRATOR_STORAGE" in command]

    assert re.search(r"ORCHESTRATOR_STORAGE=s3://[a-z0-9-]+/\S+'", line)


def test_commands_are_valid_shell(config):
    for command in shell_commands(config):
        result = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{command}: {result.stderr}"


def test_setup_can_be_repeated(config, tmp_path):
    """``ray up`` runs the setup commands again after every change; .bashrc must not grow with each."""
    lines = [c for key in ("setup_commands", "head_setup_commands") for c in config[key] if "bashrc" in c]
    (tmp_path / ".bashrc").touch()
    for command in lines * 2:
        subprocess.run(["bash", "-c", command], env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, check=True)

    exported = subprocess.run(
        ["bash", "-c", 'source ~/.bashrc; echo "$RAY_AUTH_MODE $RAY_ADDRESS ${PATH%%:*}"'],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert len(lines) == 2
    assert len((tmp_path / ".bashrc").read_text().splitlines()) == 2
    assert exported.stdout.split() == ["token", "auto", f"{tmp_path}/venv/bin"]


@pytest.mark.parametrize(
    "pattern",
    [
        r"\bami-[0-9a-f]{8,}",
        r"\b(subnet|sg|vpc|i)-[0-9a-f]{8,}",
        r"\b\d{12}\b",  # an account
        r"arn:aws",
        r"\.pem\b",
        r"/(home|root|Users|work|tmp)/",
        r"(AKIA|ASIA)[A-Z0-9]{16}",
        r"\b(?!127\.0\.0\.1\b)\d{1,3}(\.\d{1,3}){3}\b",
    ],
)
def test_no_value_of_one_account_or_machine(pattern):
    assert re.search(pattern, TEXT) is None
