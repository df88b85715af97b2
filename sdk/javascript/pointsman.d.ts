/**
 * Write Pointsman plugins in JavaScript or TypeScript.
 *
 * A plugin is an exported class named `Plugin`. It is made once with its configuration, and has a method for each role
 * that `plugin.toml` names; `PluginClass` lists them.
 */

/** A value of the contract. Whole numbers that a number cannot hold exactly are bigint. */
export type Value = string | string[] | number | bigint | boolean;
export type Attributes = Record<string, Value>;

/** Why. `code` is stable and for machines; `detail` is for people and never repeats the content. */
export interface Reason {
  code: string;
  detail?: string;
  attributes?: Attributes;
}

export interface Label {
  key: string;
  value: Value;
  score?: number;
}

/** One piece of guardable text, decoded. Edits count bytes of its UTF-8, not JavaScript's characters. */
export interface Segment {
  message: number;
  part: number;
  role: string;
  kind: string;
  path: string;
  text: string;
}

/** A request. Only what is read is copied, and recorded for replay. Unknown is null. */
export interface View {
  field(name: string): Value | null;
  /** Several fields in one call of the host. */
  fields(names: string[]): (Value | null)[];
  label(key: string): Required<Label> | null;
  header(name: string): string | null;
  messageCount(): number;
  messageField(message: number, name: string): Value | null;
  partField(message: number, part: number, name: string): Value | null;
  segmentCount(): number;
  segments(first?: number, count?: number): Segment[];
  recentText(messages: number, bytesMax: number): string;
  toolNames(): string[];
  toolSchema(name: string): string | null;
  bodyLength(): number;
  body(offset: number, length: number): Uint8Array;
}

/** Candidates, by column. */
export interface Pool {
  names(): string[];
  column(key: string): (Value | null)[];
  /** Several columns in one call of the host. */
  columns(keys: string[]): (Value | null)[][];
}

/** One try. Attributes: `timeout-ms`, `first-token-timeout-ms`, `retries`, `model`. */
export interface Attempt {
  target: string;
  attributes?: Attributes;
}

/** A router's answer, at most 16 attempts. No attempts: it abstains, and the next router step is asked. */
export interface Plan {
  attempts: Attempt[];
  reason: Reason;
  attributes?: Attributes;
}

/** Puts `text` in place of bytes `start` to `end` of a segment. */
export interface TextEdit {
  segment: number;
  start: number;
  end: number;
  text: string;
}

/** Sets `max-output-tokens`, `temperature`, `remove-tool` or `prepend-system`. */
export interface Setting {
  key: string;
  value: Value;
}

/** A request guard's answer: a denial, else edits, else pass. */
export interface Checked {
  deny?: Reason;
  edits?: (TextEdit | Setting)[];
  labels?: Label[];
}

export interface Coverage {
  kinds: string[];
  holdBackBytes: number;
  holdBackMs: number;
  attributes?: Attributes;
}

export interface Channel {
  choice: number;
  item: number;
  kind: string;
  path: string;
  attributes: Attributes;
}

export interface Delta {
  channel: number;
  text: string;
}

/** Pass, replace (with `text`), cut one choice or all, or note a label. Bytes are of the channel's UTF-8. */
export type Action =
  | { channel: number; bytes: number; text?: string }
  | { cut: Reason; choice?: number }
  | { note: Label };

/** One answer on its way through a response guard. */
export interface GuardStream {
  open(id: number, about: Channel): void;
  push(deltas: Delta[]): Action[];
  close(channel: number): Action[];
  expire(channels: number[]): Action[];
  finish(outcome: Attributes): Action[];
}

export interface Usage {
  attempt: number;
  target: string;
  outcome: string;
  meters: { unit: string; quantity: number; estimated: boolean }[];
  attributes: Attributes;
}

/** One line of a bill. `picoUsd` is null where no price is known: never zero. */
export interface CostLine {
  attempt: number;
  unit: string;
  quantity: number;
  picoUsd: number | bigint | null;
  estimated?: boolean;
  attributes?: Attributes;
}

/** What a class named `Plugin` may have; each role of plugin.toml needs its methods. */
export interface PluginClass {
  classify?(request: View): Label[];
  check?(request: View): Checked;
  split?(request: View, bucket: number): string;
  route?(request: View, candidates: Pool): Plan;
  covers?(): Coverage;
  guard?(request: View): GuardStream;
  account?(request: View, usages: Usage[]): CostLine[];
}

/** Thrown by a plugin's constructor: the configuration is refused, and the operator is shown the text. */
export class ConfigError extends Error {}

/** A failure on purpose. Anything else that is thrown is a fault of kind `trap`. */
export class PluginError extends Error {
  constructor(message: string, kind?: "invalid-input" | "unavailable" | "internal");
  kind: "invalid-input" | "unavailable" | "internal";
}

/** A plan without attempts: the next router is asked. */
export function abstain(code: string, detail: string): Plan;

export interface Rate {
  unit: string;
  picoUsd: bigint;
  aboveInputTokens: number;
  attributes: Attributes;
}

/** What the host offers besides the request. Declare what you call in `imports` of plugin.toml; steps grant it. */
export const host: {
  log(message: string, level?: "debug" | "info" | "warn" | "error"): void;
  /** The decision's time, milliseconds since 1970. */
  nowMs(): number;
  /** Seeded from request and step. */
  nextU64(): bigint;
  /** A file of the bundle that the step names; also in the constructor. */
  data(name: string): Uint8Array | null;
  /** What the tenant did lately: `requests`, `denials`, `cuts`, `errors`, `tokens`. */
  count(name: string, windowSeconds: number): number;
  /** The vector of the recent text (`recent`) or of a file that the step names; null where there is none. */
  vector(name: string): Float32Array | null;
  /** HMAC-SHA256 under a secret that the configuration names; null where it may not be used. */
  hmac(name: string, message: Uint8Array): Uint8Array | null;
  rates(target: string): Rate[] | null;
};
