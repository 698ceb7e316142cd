"""History: one conversation as three APIs want it, with nothing in it that they refuse."""

from typing import Any

import pytest
from syncd_client.adapters import Call, History, anthropic_messages, from_parts, openai_chat, openai_responses
from syncd_client.adapters.history import system_text

TRAM = Call("t1", "find", {"what": "tram"}, output={"line": 28})
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "Eq"}
REASONING = {"type": "reasoning", "id": "rs1", "summary": [], "encrypted_content": "gA"}
TALK = [
    History("system", "Be brief."),
    History("user", "Where to?", name="mona"),
    History("assistant", "Let me see.", calls=[TRAM], provider={"anthropic": [THOUGHT], "openai": [REASONING]}),
    History("assistant", "Line 28."),
]


def test_a_conversation_for_openai_chat() -> None:
    """Calls are with the message, results behind it."""
    arguments = {"name": "find", "arguments": '{"what": "tram"}'}
    assert openai_chat(TALK) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Where to?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [{"id": "t1", "type": "function", "function": arguments}],
        },
        {"role": "tool", "tool_call_id": "t1", "content": '{"line": 28}'},
        {"role": "assistant", "content": "Line 28."},
    ]


def test_a_conversation_for_openai_responses() -> None:
    """Reasoning items go back verbatim, before what they led to."""
    assert openai_responses(TALK) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Where to?"},
        REASONING,
        {"role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": "t1", "name": "find", "arguments": '{"what": "tram"}'},
        {"type": "function_call_output", "call_id": "t1", "output": '{"line": 28}'},
        {"role": "assistant", "content": "Line 28."},
    ]


def test_a_conversation_for_anthropic() -> None:
    """Thoughts first and unchanged, results in the user's next turn, what the system said beside it."""
    assert system_text(TALK) == "Be brief."
    assert anthropic_messages(TALK) == [
        {"role": "user", "content": [{"type": "text", "text": "Where to?"}]},
        {
            "role": "assistant",
            "content": [
                THOUGHT,
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "t1", "name": "find", "input": {"what": "tram"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": '{"line": 28}'}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Line 28."}]},
    ]


def check_anthropic(messages: list[dict[str, Any]]) -> None:
    """Hold `messages` against the rules that a request is refused for."""
    assert [m["role"] for m in messages] == [("user", "assistant")[n % 2] for n in range(len(messages))]
    ids: list[str] = []
    for number, message in enumerate(messages):
        assert message["content"]
        assert all(b["text"].strip() for b in message["content"] if b["type"] == "text")
        uses = [b["id"] for b in message["content"] if b["type"] == "tool_use"]
        ids += uses
        if uses:
            answers = messages[number + 1]["content"][: len(uses)]
            assert [b.get("tool_use_id") for b in answers] == uses
    assert len(ids) == len(set(ids))


def test_anthropics_rules_are_kept() -> None:
    """Turns alternate, the user begins, results open the next turn, ids are unique, no text is blank or trails off."""
    again = Call("t1", "find", "no json")
    odd = Call("call/9 ", "find", {}, error="no line")
    messages = anthropic_messages(
        [
            History("assistant", "Hello."),
            History("assistant", "Anybody?"),
            History("user", " \n", name="mona"),
            History("user", "Yes.", name="mona"),
            History("assistant", "", calls=[TRAM, again]),
            History("user", "Well?", name="mona"),
            History("assistant", "I try.", calls=[odd]),
            History("assistant", "No line. \n"),
        ]
    )

    check_anthropic(messages)
    assert messages[-1]["content"][-1]["text"] == "No line."
    assert messages[-2]["content"][0] == {
        "type": "tool_result", "tool_use_id": "call_9_", "content": "no line", "is_error": True,
    }  # fmt: skip
    assert messages[3]["content"][1]["input"] == {"input": "no json"}


def test_no_call_is_left_without_a_result() -> None:
    """A call that nobody ran is answered as not run: a history with a call alone is refused."""
    items = [History("user", "Go."), History("assistant", calls=[Call("t1", "pay", {}, ended=False)])]

    assert openai_chat(items)[-1] == {"role": "tool", "tool_call_id": "t1", "content": "not run"}
    assert openai_responses(items)[-1] == {"type": "function_call_output", "call_id": "t1", "output": "not run"}
    assert anthropic_messages(items)[-1]["content"][0]["content"] == "not run"


def test_people_are_named_where_there_are_several() -> None:
    """One person is not named; of several each is."""
    mona, tom = History("user", "Tram?", name="user:mona"), History("user", "Taxi!", name="tom")

    assert openai_chat([mona]) == [{"role": "user", "content": "Tram?"}]
    assert [m["content"] for m in openai_chat([mona, tom])] == ["[mona] Tram?", "[tom] Taxi!"]
    assert [b["text"] for b in anthropic_messages([mona, tom])[0]["content"]] == ["[mona] Tram?", "[tom] Taxi!"]


def test_other_agents_are_heard_as_users() -> None:
    """What another agent said is not what this model said, and its calls are its own."""
    other = History("assistant", "Rain.", name="weather", calls=[TRAM])
    own = History("assistant", "Taxi.", name="travel")

    assert openai_chat([other, own], me="travel") == [
        {"role": "user", "content": "[weather] Rain."},
        {"role": "assistant", "content": "Taxi."},
    ]


# From the parts of a message


def tool(state: str, call: str = "t1", **more: Any) -> dict[str, Any]:
    return {"type": "tool", "name": "find", "tool_call": f"r-{call}", "call_id": call, "state": state, **more}


def test_parts_become_an_item_for_each_model_call() -> None:
    """What was said after a result is an item of its own: the result stands before it."""
    parts: list[dict[str, Any]] = [
        {"type": "step-start"},
        {"type": "reasoning", "text": "Hm.", "provider": {"anthropic": THOUGHT}},
        {"type": "text", "text": "Let me see."},
        tool("output-available", input={"what": "tram"}, output={"line": 28}),
        {"type": "text", "text": "Line 28."},
    ]

    assert from_parts("assistant", parts, name="travel") == [
        History("assistant", "Let me see.", "travel", (TRAM,), {"anthropic": [THOUGHT]}),
        History("assistant", "Line 28.", "travel"),
    ]


@pytest.mark.parametrize(
    ("part", "result"),
    [
        (tool("output-error", input={}, error="no line"), "no line"),
        (tool("output-denied", input={}, error="too dear"), "denied: too dear"),
        (tool("output-denied", input={}), "denied"),
        (tool("approval-requested", input={}), "not run"),
        (tool("input-available", input={}), "not run"),
        (tool("output-available", input={}, output="ok"), "ok"),
        (tool("output-available", input={}), "null"),
    ],
)
def test_every_state_of_a_call_has_a_result(part: dict[str, Any], result: str) -> None:
    """Whatever became of a call, the model is told."""
    ((call,),) = (item.calls for item in from_parts("assistant", [part]))

    assert call.result == result


def test_unfinished_calls_and_lonely_blocks_are_left_out() -> None:
    """Half a call cannot go back, nor can reasoning that led to nothing."""
    parts: list[dict[str, Any]] = [
        {"type": "reasoning", "text": "Hm.", "provider": {"openai": REASONING}},
        tool("input-streaming", raw_input='{"wh'),
    ]

    assert from_parts("assistant", parts) == []


def test_what_the_provider_ran_goes_back_as_its_blocks() -> None:
    """A search that the provider made is no call of ours; to another provider it is not shown at all."""
    blocks = [{"type": "server_tool_use", "id": "s1"}, {"type": "web_search_tool_result", "tool_use_id": "s1"}]
    parts: list[dict[str, Any]] = [
        tool("output-available", input={}, output=[], provider={"anthropic": blocks}),
        {"type": "text", "text": "Line 28."},
    ]
    items = from_parts("assistant", parts)

    assert anthropic_messages([History("user", "?"), *items])[-1]["content"] == [
        *blocks, {"type": "text", "text": "Line 28."},
    ]  # fmt: skip
    assert openai_chat(items) == [{"role": "assistant", "content": "Line 28."}]
