"""No credential is printed, whatever a server answers."""

import pytest

from langchain_cf_deepseek.data.routings import Routing
from langchain_cf_deepseek.local import Fault, LocalGateway
from tests.doctor.conftest import Doctor
from tests.doctor.expected_output import (
    ALL_OK_BY_ROUTING,
    API_TOKEN,
    CREDENTIALS,
    KEY,
    NO_FAULT,
    SECRET_VARIABLES,
    TOKEN,
    WHOLE_ANSWER,
)

ECHO = f"{KEY} {TOKEN} {API_TOKEN} Bearer {KEY}"
HOSTILE = {
    "DeepSeek's error": {"error": {"message": ECHO, "type": KEY, "code": TOKEN, "param": KEY}},
    "the end of the key": {"error": {"message": f"Your api key: ****{KEY[-4:]} is invalid"}},
    "both ends of the key": {"error": {"message": f"Wrong key: {KEY[:6]}***{KEY[-4:]}."}},
    "the gateway's error": {"success": False, "error": [{"code": 2009, "message": ECHO}]},
    "the API's error": {"success": False, "errors": [{"code": KEY, "message": ECHO}]},
    "text": f"Unknown: {ECHO}",
    "a page": f"<html><title>{ECHO}</title></html>",
    "an answer": {**WHOLE_ANSWER, "model": ECHO},
}


@pytest.mark.parametrize("routing", ALL_OK_BY_ROUTING)
@pytest.mark.parametrize("status", [200, 302, 401, 402, 500, "in a stream"])
@pytest.mark.parametrize("body", HOSTILE)
def test_credentials_echoed_by_a_response_are_not_printed(
    body: str, status: int | str, routing: Routing, gateway: LocalGateway, doctor: Doctor
) -> None:
    headers = {"cf-aig-log-id": ECHO, "cf-aig-cache-status": ECHO, "location": f"/{KEY}"}
    if isinstance(status, int):
        fault = Fault(status=status, body=HOSTILE[body], headers=headers, times=None)
    else:
        gateway.fault(NO_FAULT)
        fault = Fault(then="error_event", body=HOSTILE[body], headers=headers, times=None)
    gateway.fault(fault)
    credentials = dict(zip(SECRET_VARIABLES, CREDENTIALS.values(), strict=True))
    # The fixture `doctor` searches for every four characters of each credential.
    _, printed = doctor(gateway.environment(routing) | credentials)
    assert printed.startswith(f"check         outcome  found\nsettings      ok       {routing} ")


def test_model_name_from_a_response_cannot_add_lines_to_the_report(
    gateway: LocalGateway, doctor: Doctor
) -> None:
    gateway.fault(body={**WHOLE_ANSWER, "model": "x\n\nAll checks passed."}, times=None)
    _, printed = doctor(gateway.environment())
    assert "model         ok       deepseek-flash, served as x All checks passed.\n" in printed
