"""Steering: a text written on while features are pushed, as server-sent events."""

from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse

from app.access.routes import live_call, needs
from app.api.parameters import WITH_A_BODY, Responses, StoredDictionary, problems
from app.api.schemas.shape import Problem
from app.api.schemas.steering import SteeredToken, SteeringRequest, SteeringSummary
from app.engine.event_stream import EventStream
from app.live import Failed, SteeringEvent
from app.live import SteeringSummary as Summary
from app.roles import Role
from app.serving import SSE_HEADERS, KnownActivationScales, Models, ReadSession, RequestPatience

router = APIRouter(
    prefix="/dictionaries/{dictionary_id}/steer", tags=["live"], dependencies=[needs(Role.READ), live_call]
)
EVENT = {  # of each event, as OpenAPI describes a stream of them
    "type": "object",
    "properties": {
        "event": {"enum": ["token", "summary", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
EVENTS: Responses = {
    200: {
        "description": "Events `token` (a SteeredToken each), then one `summary` (a SteeringSummary), or, where the "
        "work could not go on, one `error` (a Problem).",
        "content": {"text/event-stream": {"schema": EVENT}},
    }
}


@router.post(
    "",
    summary="Steer a text",
    response_class=StreamingResponse,
    responses={**EVENTS, **problems(*WITH_A_BODY, 404, 422, 500, 503)},
)
def steer_text(
    dictionary: StoredDictionary,
    asked: SteeringRequest,
    session: ReadSession,
    models: Models,
    known: KnownActivationScales,
    patience: RequestPatience,
) -> StreamingResponse:
    """The text without and with steering, token by token, then a summary of what steering did."""
    scales = known.of(session, dictionary)
    session.close()  # no connection is held while the model works
    events = models.steer(dictionary, scales, asked.to_domain(), patience)
    return StreamingResponse(as_json(events), media_type="text/event-stream", headers=SSE_HEADERS)


async def as_json(events: EventStream[SteeringEvent]) -> AsyncIterator[bytes]:
    async for event in events:
        match event:
            case Failed(message, is_invalid):
                status = 422 if is_invalid else 503
                problem = Problem(title="The text could not be finished", status=status, detail=message)
                yield format_sse_event(event="error", data_str=problem.model_dump_json())
            case Summary():
                yield format_sse_event(event="summary", data_str=SteeringSummary.of(event).model_dump_json())
            case token:
                yield format_sse_event(event="token", data_str=SteeredToken.model_validate(token).model_dump_json())
