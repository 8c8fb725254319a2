"""Without a camera: a photograph that was chosen or taken otherwise."""

from __future__ import annotations

from typing import Any

from .answers import Refused
from .desk import Desk
from .login_sitting import LoginSitting
from .sessions import Session


async def login_photo(desk: Desk, session: Session, data: bytes, claim: str | None) -> dict[str, Any]:
    """A login from one photograph.

    Raises:
        Refused: a login asks for more than one look; the picture is too large.
        ImageError: it is none.
    """
    if desk.policy.liveness or desk.policy.frames[1] > 1:
        raise Refused(409, "camera_needed", "One photograph is not enough here; log in with the camera.")
    sitting = LoginSitting(desk, session, claim, pixels=desk.limits.photo_pixels)
    first = await sitting.begin()
    if first is not None:
        return first
    reply = await sitting.frame(data)
    return reply if sitting.over else await sitting.time_is_over()
