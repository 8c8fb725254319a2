"""Every limit of the server in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much of anything the server takes.

    Attributes:
        photo_bytes: most bytes of a photograph that is sent.
        photo_pixels: most pixels of one; three bytes each while it is looked at.
        frame_bytes: most bytes of a camera frame.
        frame_pixels: most pixels of one.
        json_bytes: most bytes of any other request or message.
        name_length: most characters of a name; the gallery's own limit.
        body_seconds: time for a request to arrive as a whole.
        head_seconds: time for a connection to say what it wants.
        frame_seconds: time for the next frame of a camera to come, and for a reply to be taken.
        login_seconds: time for a login from its first message on; then it is decided from what was seen.
        enrol_seconds: the same for an enrolment.
        cameras: most cameras at once; each is one websocket.
        cameras_each: of these, most of one address.
        photos: most photographs of an enrolment.
        photos_waiting: most photographs that wait to be looked at.
        bad_frames: frames of one camera that may be no images.
        sessions: most sessions at once; then those that were idle longest end.
        new_sessions: sessions that one address may begin a second, in the long run.
        new_sessions_at_once: the same without a break.
        session_idle: seconds without a request after which a session ends.
        session_longest: seconds after which it ends anyway.
        connections: most connections at once.
        requests: requests of one client a second, in the long run.
        requests_at_once: requests of one client without a break.
        newcomers: connections without a session of one address a second, in the long run.
        newcomers_at_once: the same without a break.
        strangers: requests of all of these together a second, in the long run.
        strangers_at_once: the same without a break.
        attempts: logins begun by one address a minute.
        tokens: operator's tokens tried by one address a minute.
        clients: clients remembered for the rates.
    """

    photo_bytes: int = 15_000_000
    photo_pixels: int = 50_000_000
    frame_bytes: int = 1_000_000
    frame_pixels: int = 2_100_000
    json_bytes: int = 65_536
    name_length: int = 200
    body_seconds: float = 30.0
    head_seconds: float = 10.0
    frame_seconds: float = 15.0
    login_seconds: float = 60.0
    enrol_seconds: float = 180.0
    cameras: int = 12
    cameras_each: int = 4
    photos: int = 50
    photos_waiting: int = 4
    bad_frames: int = 10
    sessions: int = 512
    new_sessions: float = 2.0
    new_sessions_at_once: float = 30.0
    session_idle: float = 1800.0
    session_longest: float = 12 * 3600.0
    connections: int = 200
    requests: float = 50.0
    requests_at_once: float = 150.0
    newcomers: float = 20.0
    newcomers_at_once: float = 60.0
    strangers: float = 200.0
    strangers_at_once: float = 400.0
    attempts: float = 60.0
    tokens: float = 5.0
    clients: int = 4096
