"""Models of the routes of push: shapes only."""

from pydantic import BaseModel, ConfigDict, Field

from syncd.server.hooks.targets import URL_CHARS_MAX
from syncd.server.rest.models import Answer, Body, PlainName


class Keys(BaseModel):
    """By what messages to a browser are encrypted, in base64 for URLs."""

    model_config = ConfigDict(extra="forbid", strict=True)

    p256dh: str = Field(max_length=128, description="The browser's public key: a point of P-256, 65 bytes.")
    auth: str = Field(max_length=64, description="The browser's secret, 16 bytes.")


class PutSubscription(Body):
    """Be told on this device: what `PushSubscription.toJSON()` returns, and a name for the device."""

    endpoint: str = Field(max_length=URL_CHARS_MAX, description="The push service's URL for this browser.")
    keys: Keys
    name: PlainName = Field("", description="What the device is called in a list, such as 'Firefox, Android'.")
    expirationTime: float | None = Field(None, description="As the browser says it. Nothing follows from it.")


class KeyAnswer(Answer):
    """What a browser subscribes with."""

    key: str = Field(description="A public key of P-256 in base64 for URLs, uncompressed.")


class DeviceAnswer(Answer):
    """One device of yours. Times are Unix ms."""

    device: str
    name: str
    service: str = Field(description="The host of its push service.")
    since: int = Field(description="When it was first told.")
    used: int = Field(description="When it last said that it is used.")


class DevicesAnswer(Answer):
    """The devices on which you are told."""

    devices: list[DeviceAnswer]
