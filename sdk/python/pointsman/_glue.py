"""Between the contract's generated bindings and the words of this package. Used in components only."""

from __future__ import annotations

import json

from componentize_py_types import Err
from wit_world.imports import types as wit

import pointsman as sdk

_plugin = None


def value_out(value):
    # A bool is an int in Python, so it is asked first.
    if isinstance(value, bool):
        return wit.Value_Flag(value)
    if isinstance(value, int):
        return wit.Value_Integer(value)
    if isinstance(value, float):
        return wit.Value_Number(value)
    if isinstance(value, str):
        return wit.Value_Text(value)
    if isinstance(value, (list, tuple)):
        return wit.Value_Texts([str(item) for item in value])
    raise TypeError(f"a value is str, list of str, int, float or bool, not {type(value).__name__}")


def attributes_out(attributes):
    return [wit.Attribute(key, value_out(value)) for key, value in attributes.items()]


def attributes_in(attributes):
    return {attribute.key: attribute.value.value for attribute in attributes}


def label_out(label):
    return wit.Label(label.key, value_out(label.value), label.score)


def reason_out(reason):
    return wit.Reason(reason.code, reason.detail, attributes_out(reason.attributes))


def channel_in(about):
    return sdk.Channel(about.choice, about.item, about.kind, about.path, attributes_in(about.attributes))


class View:
    """The host's view with plain values."""

    __slots__ = ("_inner",)

    def __init__(self, inner):
        self._inner = inner

    def field(self, name):
        value = self._inner.field(name)
        return None if value is None else value.value

    def fields(self, names):
        return [None if value is None else value.value for value in self._inner.fields(names)]

    def label(self, key):
        label = self._inner.label(key)
        return None if label is None else sdk.Label(label.key, label.value.value, label.score)

    def header(self, name):
        return self._inner.header(name)

    def message_count(self):
        return self._inner.message_count()

    def message_field(self, message, name):
        value = self._inner.message_field(message, name)
        return None if value is None else value.value

    def part_field(self, message, part, name):
        value = self._inner.part_field(message, part, name)
        return None if value is None else value.value

    def segment_count(self):
        return self._inner.segment_count()

    def segments(self, first=0, count=0xFFFFFFFF):
        return [
            sdk.Segment(segment.message, segment.part, segment.role, segment.kind, segment.path, segment.text)
            for segment in self._inner.segments(first, count)
        ]

    def recent_text(self, messages, bytes_max):
        return self._inner.recent_text(messages, bytes_max)

    def tool_names(self):
        return self._inner.tool_names()

    def tool_schema(self, name):
        return self._inner.tool_schema(name)

    def body_length(self):
        return self._inner.body_length()

    def body(self, offset, length):
        return bytes(self._inner.body(offset, length))


class Pool:
    """The host's candidates with plain values."""

    __slots__ = ("_inner",)

    def __init__(self, inner):
        self._inner = inner

    def names(self):
        return self._inner.names()

    def column(self, key):
        return [None if value is None else value.value for value in self._inner.column(key)]

    def columns(self, keys):
        return [
            [None if value is None else value.value for value in column] for column in self._inner.columns(keys)
        ]


def guarded(call):
    """Errors on purpose become the contract's; all others trap."""
    try:
        return call()
    except sdk.InvalidInput as error:
        raise Err(wit.PluginError_InvalidInput(str(error))) from None
    except sdk.Unavailable as error:
        raise Err(wit.PluginError_Unavailable(str(error))) from None
    except sdk.PluginError as error:
        raise Err(wit.PluginError_Internal(str(error))) from None


def configure(plugin_class, config):
    global _plugin
    try:
        _plugin = plugin_class(json.loads(config))
    except sdk.ConfigError as error:
        raise Err(str(error)) from None


class Classifier:
    def classify(self, request):
        labels = guarded(lambda: _plugin.classify(View(request)))
        return [label_out(label) for label in labels]


class RequestGuard:
    def check(self, request):
        from wit_world.exports import request_guard as out

        checked = guarded(lambda: _plugin.check(View(request)))
        if checked.deny is not None:
            verdict = out.Verdict_Deny(reason_out(checked.deny))
        elif checked.edits:
            verdict = out.Verdict_Edit([self._edit(out, edit) for edit in checked.edits])
        else:
            verdict = out.Verdict_Pass()
        return out.Checked(verdict, [label_out(label) for label in checked.labels])

    @staticmethod
    def _edit(out, edit):
        if isinstance(edit, sdk.TextEdit):
            return out.Edit_Text(out.TextEdit(edit.segment, edit.start, edit.end, edit.text))
        return out.Edit_Set(wit.Attribute(edit.key, value_out(edit.value)))


class Splitter:
    def split(self, request, bucket):
        return guarded(lambda: _plugin.split(View(request), bucket))


class Router:
    def route(self, request, candidates):
        from wit_world.exports import router as out

        plan = guarded(lambda: _plugin.route(View(request), Pool(candidates)))
        attempts = [out.Attempt(attempt.target, attributes_out(attempt.attributes)) for attempt in plan.attempts]
        return out.Plan(attempts, reason_out(plan.reason), attributes_out(plan.attributes))


class Accountant:
    def account(self, request, usages):
        from wit_world.exports import accountant as out

        given = [
            sdk.Usage(
                usage.attempt,
                usage.target,
                usage.outcome,
                [sdk.Meter(meter.unit, meter.quantity, meter.estimated) for meter in usage.meters],
                attributes_in(usage.attributes),
            )
            for usage in usages
        ]
        lines = guarded(lambda: _plugin.account(View(request), given))
        return [self._line(out, line) for line in lines]

    @staticmethod
    def _line(out, line):
        if line.pico_usd is None:
            amount = out.Amount_Unpriced()
        elif line.estimated:
            amount = out.Amount_Estimated(line.pico_usd)
        else:
            amount = out.Amount_Exact(line.pico_usd)
        return out.CostLine(line.attempt, line.unit, line.quantity, amount, attributes_out(line.attributes))


class ResponseGuard:
    def covers(self):
        from wit_world.exports import response_guard as out

        coverage = _plugin.covers()
        return out.Coverage(
            coverage.kinds, coverage.hold_back_bytes, coverage.hold_back_ms, attributes_out(coverage.attributes)
        )


class Guard:
    """The resource that an answer takes its way through."""

    def __init__(self, request):
        self._stream = guarded(lambda: _plugin.guard(View(request)))

    def open(self, id, about):
        guarded(lambda: self._stream.open(id, channel_in(about)))

    def push(self, deltas):
        given = [sdk.Delta(delta.channel, delta.text) for delta in deltas]
        return self._actions(lambda: self._stream.push(given))

    def close(self, channel):
        return self._actions(lambda: self._stream.close(channel))

    def expire(self, channels):
        return self._actions(lambda: self._stream.expire(list(channels)))

    def finish(self, outcome):
        return self._actions(lambda: self._stream.finish(attributes_in(outcome)))

    @staticmethod
    def _actions(call):
        from wit_world.exports import response_guard as out

        def action(said):
            if isinstance(said, sdk.Pass):
                return out.Action_Pass(out.Take(said.channel, said.bytes))
            if isinstance(said, sdk.Replace):
                return out.Action_Replace(out.Replacement(said.channel, said.bytes, said.text))
            if isinstance(said, sdk.Cut):
                return out.Action_Cut(out.Stop(said.choice, reason_out(said.reason)))
            return out.Action_Note(label_out(said))

        return [action(said) for said in guarded(call)]
