"""The wire format of signatures, by the specification's own example."""

from __future__ import annotations

import pytest

from gateway.callbacks.signing import headers_for

BODY = '{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_headers_of_one_attempt(secret: str) -> None:
    """A secret without the prefix signs the same."""
    headers = headers_for("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY, [secret])

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_each_valid_secret_signs() -> None:
    headers = headers_for("m1", 1, "ä", ["whsec_AAAA", "whsec_BBBB"])

    assert len(set(headers["webhook-signature"].split(" "))) == 2
