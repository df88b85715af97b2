"""Sends long requests to the targets with the largest context; leaves short ones to the next router. Where there is a
limit, denies what is longer.

Start here: ``__init__`` is given the configuration and builds what all decisions share; ``check`` and ``route`` decide
one request. What you change there, change in config.schema.json, cases.jsonl and README.md too.
Import everything at the top: when a request comes, there are no files.
"""

from pointsman import Attempt, Checked, ConfigError, Label, Plan, Pool, Reason, View

# Attempts of one plan; the gateway takes no more.
ATTEMPTS_MAX = 16


class Plugin:
    def __init__(self, config: dict) -> None:
        self.long_tokens: int = config["long-tokens"]
        self.max_tokens: int | None = config.get("max-tokens")
        if self.max_tokens is not None and self.max_tokens < self.long_tokens:
            raise ConfigError("max-tokens: must not be below long-tokens")

    def check(self, request: View) -> Checked:
        tokens = self._tokens(request)
        labels = [Label("long", tokens >= self.long_tokens)]
        if self.max_tokens is None or tokens <= self.max_tokens:
            return Checked(labels=labels)
        reason = Reason(
            "too-long",
            "more input tokens than max-tokens",
            {"status": 413, "user-message": "This conversation is too long; start a new one."},
        )
        return Checked(deny=reason, labels=labels)

    def route(self, request: View, candidates: Pool) -> Plan:
        if self._tokens(request) < self.long_tokens:
            return Plan.abstain("short", "not a long request")
        targets = zip(candidates.names(), *candidates.columns(["context-tokens", "healthy"]))
        # Healthy before unhealthy, then the largest context; an unknown one counts as the smallest.
        ordered = sorted((healthy is False, -(context or 0), name) for name, context, healthy in targets)
        attempts = [Attempt(name) for _, _, name in ordered[:ATTEMPTS_MAX]]
        return Plan(attempts, Reason("long", "the largest context first"))

    @staticmethod
    def _tokens(request: View) -> int:
        return request.field("input-tokens-estimate") or 0
