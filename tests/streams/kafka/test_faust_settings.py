"""The address that a worker tells its group."""

import pytest

from streams.kafka.faust_settings import api_address, faust_settings
from streams.secret import Secret
from streams.settings import Settings


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, None),
        ({"group_instance": "one"}, "http://one"),
        ({"web_api": "on"}, "http://127.0.0.1:6066/v1"),
        ({"web_api": "on", "group_instance": "one"}, "http://127.0.0.1:6066/v1"),
        ({"web_api": "on", "web_url": "https://w1.example:8443"}, "https://w1.example:8443/v1"),
        ({"web_api": "on", "web_host": "0.0.0.0", "web_token": Secret("x" * 16)}, None),
        ({"web_url": "https://w1.example"}, None),
    ],
)
def test_worker_names_its_address_if_it_serves_the_api(given: dict[str, object], address: str | None) -> None:
    settings = Settings.make(**given)
    assert faust_settings(settings).get("canonical_url") == address
    assert api_address(settings) == (address if address and address.endswith("/v1") else "")
