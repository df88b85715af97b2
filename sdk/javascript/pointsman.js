// Between the contract's bindings and a plugin's class: values of the contract are plain JavaScript.
import * as clockImport from "pointsman:plugin/clock@0.2.0";
import * as countersImport from "pointsman:plugin/counters@0.2.0";
import * as dataImport from "pointsman:plugin/data@0.2.0";
import * as embeddingImport from "pointsman:plugin/embedding@0.2.0";
import * as logImport from "pointsman:plugin/log@0.2.0";
import * as pricesImport from "pointsman:plugin/prices@0.2.0";
import * as randomImport from "pointsman:plugin/random@0.2.0";
import * as secretsImport from "pointsman:plugin/secrets@0.2.0";

/** Thrown by a plugin's constructor: the configuration is refused, and the operator is shown the text. */
export class ConfigError extends Error {}

/** A failure on purpose: `invalid-input`, `unavailable` or `internal`. Anything else that is thrown is a fault. */
export class PluginError extends Error {
  constructor(message, kind = "internal") {
    super(message);
    this.kind = kind;
  }
}

/** A plan without attempts: the next router is asked. */
export function abstain(code, detail) {
  return { attempts: [], reason: { code, detail } };
}

/** What the host offers besides the request; declared in `imports` of plugin.toml. */
export const host = {
  log(message, level = "info") {
    logImport.log(level, message);
  },
  nowMs() {
    return Number(clockImport.nowMs());
  },
  nextU64() {
    return randomImport.nextU64();
  },
  data(name) {
    const size = dataImport.size(name);
    if (size === undefined || size === null) return null;
    const bytes = new Uint8Array(Number(size));
    const piece = 1 << 19;
    for (let at = 0; at < bytes.length; at += piece) {
      bytes.set(dataImport.read(name, BigInt(at), piece) ?? [], at);
    }
    return bytes;
  },
  count(name, windowSeconds) {
    return Number(countersImport.count(name, windowSeconds));
  },
  vector(name) {
    const vector = embeddingImport.vector(name);
    return vector ? Float32Array.from(vector) : null;
  },
  hmac(name, message) {
    return secretsImport.hmac(name, message) ?? null;
  },
  rates(target) {
    const rates = pricesImport.rates(target);
    return (
      rates?.map((rate) => ({
        unit: rate.unit,
        picoUsd: rate.picoUsd,
        aboveInputTokens: Number(rate.aboveInputTokens),
        attributes: attributesIn(rate.attributes),
      })) ?? null
    );
  },
};

function valueIn(value) {
  if (value === undefined || value === null) return null;
  if (value.tag !== "integer") return value.val;
  // Whole numbers that a JavaScript number holds exactly are numbers.
  const number = Number(value.val);
  return Number.isSafeInteger(number) ? number : value.val;
}

function valueOut(value) {
  switch (typeof value) {
    case "string":
      return { tag: "text", val: value };
    case "boolean":
      return { tag: "flag", val: value };
    case "bigint":
      return { tag: "integer", val: value };
    case "number":
      return Number.isSafeInteger(value) ? { tag: "integer", val: BigInt(value) } : { tag: "number", val: value };
  }
  if (Array.isArray(value)) return { tag: "texts", val: value.map(String) };
  throw new TypeError(`a value is a string, string[], number, bigint or boolean, not ${typeof value}`);
}

function attributesIn(attributes) {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, valueIn(value)]));
}

function attributesOut(attributes = {}) {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: valueOut(value) }));
}

function labelIn(label) {
  return label ? { key: label.key, value: valueIn(label.value), score: label.score } : null;
}

function labelOut({ key, value, score = 1 }) {
  return { key, value: valueOut(value), score };
}

function reasonOut({ code, detail = "", attributes }) {
  return { code, detail, attributes: attributesOut(attributes) };
}

class View {
  #inner;
  constructor(inner) {
    this.#inner = inner;
  }
  field(name) {
    return valueIn(this.#inner.field(name));
  }
  fields(names) {
    return this.#inner.fields(names).map(valueIn);
  }
  label(key) {
    return labelIn(this.#inner.label(key));
  }
  header(name) {
    return this.#inner.header(name) ?? null;
  }
  messageCount() {
    return this.#inner.messageCount();
  }
  messageField(message, name) {
    return valueIn(this.#inner.messageField(message, name));
  }
  partField(message, part, name) {
    return valueIn(this.#inner.partField(message, part, name));
  }
  segmentCount() {
    return this.#inner.segmentCount();
  }
  segments(first = 0, count = 0xffffffff) {
    return this.#inner.segments(first, count);
  }
  recentText(messages, bytesMax) {
    return this.#inner.recentText(messages, bytesMax);
  }
  toolNames() {
    return this.#inner.toolNames();
  }
  toolSchema(name) {
    return this.#inner.toolSchema(name) ?? null;
  }
  bodyLength() {
    return Number(this.#inner.bodyLength());
  }
  body(offset, length) {
    return this.#inner.body(BigInt(offset), length);
  }
}

class Pool {
  #inner;
  constructor(inner) {
    this.#inner = inner;
  }
  names() {
    return this.#inner.names();
  }
  column(key) {
    return this.#inner.column(key).map(valueIn);
  }
  columns(keys) {
    return this.#inner.columns(keys).map((column) => column.map(valueIn));
  }
}

// Errors on purpose become the contract's, which the bindings take from `payload`; all others trap.
function guarded(call) {
  try {
    return call();
  } catch (error) {
    if (error instanceof PluginError) error.payload = { tag: error.kind, val: error.message };
    throw error;
  }
}

function editOut(edit) {
  return "key" in edit
    ? { tag: "set", val: { key: edit.key, value: valueOut(edit.value) } }
    : { tag: "text", val: { segment: edit.segment, start: edit.start, end: edit.end, text: edit.text } };
}

function actionOut(action) {
  if ("cut" in action) return { tag: "cut", val: { choice: action.choice, reason: reasonOut(action.cut) } };
  if ("note" in action) return { tag: "note", val: labelOut(action.note) };
  const { channel, bytes, text } = action;
  return text === undefined
    ? { tag: "pass", val: { channel, bytes } }
    : { tag: "replace", val: { channel, bytes, text } };
}

function lineOut({ attempt, unit, quantity, picoUsd, estimated = false, attributes }) {
  const amount =
    picoUsd === null || picoUsd === undefined
      ? { tag: "unpriced" }
      : { tag: estimated ? "estimated" : "exact", val: BigInt(picoUsd) };
  return { attempt, unit, quantity: BigInt(quantity), amount, attributes: attributesOut(attributes) };
}

/** The exports of a component. For the build alone. */
export function component(Plugin, info) {
  let plugin;
  const attributes = attributesOut({
    language: "javascript",
    instances: "pooled",
    "memory-mib": 128,
    fuel: 1_000_000_000,
    "epoch-ms": 500,
  });
  class Guard {
    #stream;
    constructor(request) {
      this.#stream = plugin.guard(new View(request));
    }
    open(id, about) {
      guarded(() => this.#stream.open(id, { ...about, attributes: attributesIn(about.attributes) }));
    }
    push(deltas) {
      return guarded(() => this.#stream.push(deltas)).map(actionOut);
    }
    close(channel) {
      return guarded(() => this.#stream.close(channel)).map(actionOut);
    }
    expire(channels) {
      return guarded(() => this.#stream.expire([...channels])).map(actionOut);
    }
    finish(outcome) {
      return guarded(() => this.#stream.finish(attributesIn(outcome))).map(actionOut);
    }
  }
  return {
    meta: {
      describe: () => ({ ...info, attributes }),
      configure(config) {
        try {
          plugin = new Plugin(JSON.parse(config));
        } catch (error) {
          if (error instanceof ConfigError) error.payload = error.message;
          throw error;
        }
      },
    },
    classifier: {
      classify: (request) => guarded(() => plugin.classify(new View(request))).map(labelOut),
    },
    requestGuard: {
      check(request) {
        const { deny, edits = [], labels = [] } = guarded(() => plugin.check(new View(request))) ?? {};
        let verdict = { tag: "pass" };
        if (deny) verdict = { tag: "deny", val: reasonOut(deny) };
        else if (edits.length > 0) verdict = { tag: "edit", val: edits.map(editOut) };
        return { verdict, labels: labels.map(labelOut) };
      },
    },
    splitter: {
      split: (request, bucket) => guarded(() => plugin.split(new View(request), bucket)),
    },
    router: {
      route(request, candidates) {
        const plan = guarded(() => plugin.route(new View(request), new Pool(candidates)));
        return {
          attempts: plan.attempts.map(({ target, attributes }) => ({ target, attributes: attributesOut(attributes) })),
          reason: reasonOut(plan.reason),
          attributes: attributesOut(plan.attributes),
        };
      },
    },
    responseGuard: {
      covers() {
        const { kinds, holdBackBytes, holdBackMs, attributes } = plugin.covers();
        return { kinds, holdBackBytes, holdBackMs, attributes: attributesOut(attributes) };
      },
      Guard,
    },
    accountant: {
      account(request, usages) {
        const given = usages.map((usage) => ({
          ...usage,
          meters: usage.meters.map((meter) => ({ ...meter, quantity: Number(meter.quantity) })),
          attributes: attributesIn(usage.attributes),
        }));
        return guarded(() => plugin.account(new View(request), given)).map(lineOut);
      },
    },
  };
}
