"""The door to the model: one request too many is refused at once."""

import pytest

from app.engine.door import Door
from app.errors import Busy


def test_a_request_too_many_is_refused_at_once() -> None:
    door = Door(4)
    for _ in range(4):
        door.enter()
    with pytest.raises(Busy, match="max_waiting") as refused, door.admit():
        pass
    assert refused.value.retry_after > 0
    with pytest.raises(Busy, match="max_waiting"):
        door.check_room()
    door.leave()
    door.check_room()
    with door.admit():
        assert door.n_inside == 4
