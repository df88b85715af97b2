"""The official openai SDK, unmodified, against a gateway: prints one JSON line a check; exits 1 at the first that fails.

Usage: openai_sdk.py BASE_URL KEY CHECK [MODEL]
"""

import json
import sys

import openai

base_url, key, check = sys.argv[1:4]
model = sys.argv[4] if len(sys.argv) > 4 else "auto"
client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=60)
FRANCE = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
WEATHER = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def told(**facts):
    print(json.dumps(facts), flush=True)


def plain():
    answer = client.chat.completions.create(model=model, messages=FRANCE, temperature=0, max_tokens=24)
    assert answer.choices[0].message.content, answer
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0, answer
    told(check="plain", text=answer.choices[0].message.content, finish=answer.choices[0].finish_reason)


def stream():
    text, finish, usage = "", None, None
    chunks = client.chat.completions.create(
        model=model, messages=FRANCE, temperature=0, max_tokens=24, stream=True, stream_options={"include_usage": True}
    )
    for chunk in chunks:
        if chunk.usage:
            usage = chunk.usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert text and finish and usage and usage.completion_tokens > 0, (text, finish, usage)
    told(check="stream", text=text, finish=finish)


def stream_without_usage():
    chunks = list(client.chat.completions.create(model=model, messages=FRANCE, temperature=0, max_tokens=8, stream=True))
    assert all(not chunk.usage for chunk in chunks), "usage that was not asked for"
    assert all(chunk.choices for chunk in chunks), "a chunk without choices that was not asked for"
    told(check="stream_without_usage", chunks=len(chunks))


def tools():
    answer = client.chat.completions.create(model=model, messages=FRANCE, tools=WEATHER, tool_choice="required")
    call = answer.choices[0].message.tool_calls[0]
    arguments = json.loads(call.function.arguments)
    assert answer.choices[0].finish_reason == "tool_calls", answer
    told(check="tools", name=call.function.name, arguments=arguments)


def tools_stream():
    calls = {}
    chunks = client.chat.completions.create(
        model=model, messages=FRANCE, tools=WEATHER, tool_choice="required", stream=True
    )
    for chunk in chunks:
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                known = calls.setdefault(call.index, {"name": "", "arguments": ""})
                known["name"] += call.function.name or ""
                known["arguments"] += call.function.arguments or ""
    assert calls, "no tool call in the stream"
    told(check="tools_stream", calls=[{"name": c["name"], "arguments": json.loads(c["arguments"])} for c in calls.values()])


def models():
    told(check="models", models=[m.id for m in client.models.list()])


def errors():
    try:
        openai.OpenAI(base_url=base_url, api_key="pm-unknown", max_retries=0).models.list()
        raise AssertionError("an unknown key was taken")
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key", error
    try:
        client.chat.completions.create(model="no-such-model", messages=FRANCE)
        raise AssertionError("an unknown model was taken")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found" and error.param == "model", error
    try:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": 7}])
        raise AssertionError("a message of the wrong type was taken")
    except openai.BadRequestError as error:
        assert error.param == "messages[0].content", error
    told(check="errors")


CHECKS = {f.__name__: f for f in [plain, stream, stream_without_usage, tools, tools_stream, models, errors]}
CHECKS[check]()
