"""Without a camera: a photograph that was chosen or taken otherwise."""

from __future__ import annotations

from typing import Any

from .answers import Refused
from .desk import Desk
from .login_sitting import LoginSitting
from .replies import CAMERA_NEEDED
from .sessions import Session


async def login_photo(desk: Desk, session: Session, data: bytes, claim: str | None) -> dict[str, Any]:
    """A login from one photograph.

    Raises:
        Refused: a login asks for a living person; the picture is too large.
        ImageError: it is none.
    """
    if desk.policy.liveness:
        raise Refused(409, *CAMERA_NEEDED)
    sitting = LoginSitting(desk, session, claim, photo=True)
    first = await sitting.begin()
    if first is not None:
        return first
    reply = await sitting.frame(data)
    return reply if sitting.over else await sitting.time_is_over()
