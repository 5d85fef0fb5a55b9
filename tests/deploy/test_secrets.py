"""No secret is printed: not by settings, help, errors or logs."""

import logging
import os
import subprocess
import sys
import traceback

import pytest
from click.testing import CliRunner

from deploy.cli import cli
from inference.triton.ports import free_ports
from streams.errors import BadSetting
from streams.kafka.connection import client_options, faust_options
from streams.secret import Secret
from streams.settings import Settings, all_settings, read_settings, settings_table, values_of, variable
from tests.deploy.test_cli import commands
from tests.support.patience import PATIENCE

SECRETS = [each.name for each in all_settings() if each.kind is Secret]
VALUE = "hunter2-hunter2-hunter2"


def test_settings_that_sound_secret_are_secrets() -> None:
    sounding = {
        each.name
        for each in all_settings()
        if any(word in each.name for word in ("password", "token", "secret", "pseudonym_key"))
    }
    assert sounding == set(SECRETS)
    assert len(SECRETS) == 4


@pytest.mark.parametrize("name", SECRETS)
def test_settings_do_not_show_it(name: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = read_settings({variable(name): VALUE})
    held = values_of(settings)[name]
    assert held.reveal() == VALUE
    logging.getLogger("test").warning("%s %r %s", settings, held, {"held": held})
    shown = [repr(settings), f"{settings}", f"{held:>40}", "%s" % held, caplog.text]  # noqa: UP031 - also printed so
    try:
        raise ValueError(held, settings)
    except ValueError:
        shown.append(traceback.format_exc())
    assert not [text for text in shown if VALUE in text]
    assert VALUE not in settings_table()


@pytest.mark.parametrize("name", SECRETS)
def test_help_does_not_show_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(name), VALUE)
    for path in commands(cli):
        assert VALUE not in CliRunner().invoke(cli, [*path, "--help"]).output


@pytest.mark.parametrize("name", SECRETS)
def test_errors_do_not_show_secrets(name: str) -> None:
    with pytest.raises(BadSetting) as refused:
        read_settings({variable(name): VALUE, "OUZEL_HEARTBEAT_S": "300"})
    assert VALUE not in str(refused.value)
    environment = {**os.environ, variable(name): VALUE, "OUZEL_BROKERS": f"127.0.0.1:{free_ports(1)[0]}"}
    for arguments in (["topics", "list"], ["worker"]):
        if arguments == ["worker"]:
            environment["OUZEL_WEB_HOST"] = "0.0.0.0"
            environment["OUZEL_WEB_PORT"] = "none"
        command = [sys.executable, "-m", "deploy.cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE, env=environment)
        assert done.returncode in (1, 2)
        assert done.stderr
        assert VALUE not in done.stdout + done.stderr


def test_broker_clients_get_the_secret_and_do_not_print_it() -> None:
    settings = Settings.make(
        security="sasl_plaintext", sasl_mechanism="PLAIN", sasl_username="u", sasl_password=Secret(VALUE)
    )
    assert client_options(settings.kafka)["sasl_plain_password"] == VALUE
    assert VALUE not in repr(faust_options(settings.kafka))
