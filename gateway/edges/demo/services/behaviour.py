"""The knobs of the stand-in services: how long jobs take, when bills are known, what goes wrong.

Set at start, or while running through `PUT /__behaviour`. Does not decide which documents fail: their names do.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, le=3600)]


class Behaviour(BaseModel):
    """How the services behave towards every account.

    `billing_lag_seconds` and `polls_until_billed` both have to pass, counted from a job's end, before its credits are
    known; a poll counts where it asks for them. `error_rate` is exact: 0.25 makes every fourth call fail.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    job_seconds: Seconds = 1.5
    billing_lag_seconds: Seconds = 1.0
    polls_until_billed: Annotated[int, Field(ge=0)] = 0
    failing: bool = False  # every new job ends as failed
    reply_delay_seconds: Seconds = 0.0  # before each reply of a product
    chunk_delay_seconds: Seconds = 0.05  # between two events of a chat
    metered_chat: bool = False  # each event of a chat's answer tells how many words it holds
    error_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    error_status: Annotated[int, Field(ge=400, le=599)] = 500
    parse_cache: bool = False  # a document parsed again with the same options costs nothing, as for 48 hours upstream
