// Sends long requests to the targets with the largest context; leaves short ones to the next router. Where there is a
// limit, denies what is longer.
//
// Start here: the constructor is given the configuration and builds what all decisions share; `check` and `route` decide
// one request. What you change there, change in config.schema.json, cases.jsonl and README.md too.
// For TypeScript name the file plugin.ts and write `source = "plugin.ts"` into plugin.toml.
import { abstain, ConfigError } from "pointsman";

/** Attempts of one plan; the gateway takes no more. */
const ATTEMPTS_MAX = 16;

/** @implements {import("pointsman").PluginClass} */
export class Plugin {
  /** @param {{ "long-tokens": number, "max-tokens"?: number }} config */
  constructor(config) {
    this.longTokens = config["long-tokens"];
    this.maxTokens = config["max-tokens"] ?? Infinity;
    if (this.maxTokens < this.longTokens) throw new ConfigError("max-tokens: must not be below long-tokens");
  }

  /**
   * @param {import("pointsman").View} request
   * @returns {import("pointsman").Checked}
   */
  check(request) {
    const tokens = tokensOf(request);
    const labels = [{ key: "long", value: tokens >= this.longTokens }];
    if (tokens <= this.maxTokens) return { labels };
    const deny = {
      code: "too-long",
      detail: "more input tokens than max-tokens",
      attributes: { status: 413, "user-message": "This conversation is too long; start a new one." },
    };
    return { deny, labels };
  }

  /**
   * @param {import("pointsman").View} request
   * @param {import("pointsman").Pool} candidates
   * @returns {import("pointsman").Plan}
   */
  route(request, candidates) {
    if (tokensOf(request) < this.longTokens) return abstain("short", "not a long request");
    const [contexts, healthy] = candidates.columns(["context-tokens", "healthy"]);
    const targets = candidates
      .names()
      .map((name, row) => ({ name, context: Number(contexts[row] ?? 0), down: healthy[row] === false }));
    // Healthy before unhealthy, then the largest context; an unknown one counts as the smallest.
    targets.sort((one, other) => one.down - other.down || other.context - one.context || (one.name < other.name ? -1 : 1));
    const attempts = targets.slice(0, ATTEMPTS_MAX).map(({ name }) => ({ target: name }));
    return { attempts, reason: { code: "long", detail: "the largest context first" } };
  }
}

/** @param {import("pointsman").View} request */
function tokensOf(request) {
  return Number(request.field("input-tokens-estimate") ?? 0);
}
