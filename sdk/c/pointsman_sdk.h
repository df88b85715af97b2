/* Helpers for Pointsman plugins in C, beside the generated bindings of `pointsman.h`: strings, values, results, and
 * what it takes to read a configuration. All of it is static and small; what is not used is not in the component.
 *
 * What a function returns is freed by the bindings: give them strings and lists from `pm_alloc`, `pm_string` and the
 * like, never literals. */
#ifndef POINTSMAN_SDK_H
#define POINTSMAN_SDK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pointsman.h"

#define PM_UNUSED __attribute__((unused))

/* Memory, or a trap: a plugin that has none left cannot go on. Null for no bytes. */
PM_UNUSED static void *pm_alloc(size_t bytes) {
  if (bytes == 0) return NULL;
  void *memory = calloc(1, bytes);
  if (memory == NULL) __builtin_trap();
  return memory;
}

/* A copy of text that the bindings may free. */
PM_UNUSED static pointsman_string_t pm_string(const char *text) {
  pointsman_string_t string;
  pointsman_string_dup(&string, text);
  return string;
}

/* The same of bytes that no zero ends. */
PM_UNUSED static pointsman_string_t pm_string_n(const char *text, size_t length) {
  pointsman_string_t string = {pm_alloc(length), length};
  if (length > 0) memcpy(string.ptr, text, length);
  return string;
}

/* A string that is only lent to a host call. */
PM_UNUSED static pointsman_string_t pm_lent(const char *text) {
  pointsman_string_t string = {(uint8_t *)text, strlen(text)};
  return string;
}

PM_UNUSED static bool pm_equal(pointsman_string_t string, const char *text) {
  return string.len == strlen(text) && memcmp(string.ptr, text, string.len) == 0;
}

PM_UNUSED static pointsman_plugin_types_value_t pm_text(const char *text) {
  pointsman_plugin_types_value_t value = {.tag = POINTSMAN_PLUGIN_TYPES_VALUE_TEXT};
  value.val.text = pm_string(text);
  return value;
}

PM_UNUSED static pointsman_plugin_types_value_t pm_integer(int64_t integer) {
  pointsman_plugin_types_value_t value = {.tag = POINTSMAN_PLUGIN_TYPES_VALUE_INTEGER};
  value.val.integer = integer;
  return value;
}

PM_UNUSED static pointsman_plugin_types_value_t pm_flag(bool flag) {
  pointsman_plugin_types_value_t value = {.tag = POINTSMAN_PLUGIN_TYPES_VALUE_FLAG};
  value.val.flag = flag;
  return value;
}

PM_UNUSED static pointsman_plugin_types_attribute_t pm_attribute(const char *key, pointsman_plugin_types_value_t value) {
  pointsman_plugin_types_attribute_t attribute = {pm_string(key), value};
  return attribute;
}

PM_UNUSED static pointsman_plugin_types_attribute_t pm_attribute_text(const char *key, const char *text) {
  return pm_attribute(key, pm_text(text));
}

PM_UNUSED static pointsman_plugin_types_reason_t pm_reason(const char *code, const char *detail) {
  pointsman_plugin_types_reason_t reason = {pm_string(code), pm_string(detail), {NULL, 0}};
  return reason;
}

PM_UNUSED static void pm_reason_add(pointsman_plugin_types_reason_t *reason, const char *key, pointsman_plugin_types_value_t value) {
  size_t count = reason->attributes.len;
  pointsman_plugin_types_attribute_t *grown = pm_alloc((count + 1) * sizeof(*grown));
  if (count > 0) memcpy(grown, reason->attributes.ptr, count * sizeof(*grown));
  free(reason->attributes.ptr);
  grown[count] = pm_attribute(key, value);
  reason->attributes.ptr = grown;
  reason->attributes.len = count + 1;
}

PM_UNUSED static pointsman_plugin_types_label_t pm_label(const char *key, pointsman_plugin_types_value_t value) {
  pointsman_plugin_types_label_t label = {pm_string(key), value, 1.0f};
  return label;
}

/* A field of the request that is a whole number; `otherwise` where it is none. */
PM_UNUSED static int64_t pm_field_integer(pointsman_plugin_request_borrow_view_t request, const char *name, int64_t otherwise) {
  pointsman_string_t asked = pm_lent(name);
  pointsman_plugin_types_value_t value;
  if (!pointsman_plugin_request_method_view_field(request, &asked, &value)) return otherwise;
  int64_t integer = value.tag == POINTSMAN_PLUGIN_TYPES_VALUE_INTEGER ? value.val.integer : otherwise;
  pointsman_plugin_types_value_free(&value);
  return integer;
}

/* A column of the candidates: row i belongs to the i-th name. */
typedef pointsman_plugin_targets_list_option_value_t pm_column_t;

PM_UNUSED static void pm_column(pointsman_plugin_targets_borrow_pool_t candidates, const char *key, pm_column_t *column) {
  pointsman_string_t asked = pm_lent(key);
  pointsman_plugin_targets_method_pool_column(candidates, &asked, column);
}

PM_UNUSED static int64_t pm_column_integer(const pm_column_t *column, size_t row, int64_t otherwise) {
  if (row >= column->len || !column->ptr[row].is_some) return otherwise;
  const pointsman_plugin_types_value_t *value = &column->ptr[row].val;
  return value->tag == POINTSMAN_PLUGIN_TYPES_VALUE_INTEGER ? value->val.integer : otherwise;
}

PM_UNUSED static bool pm_column_flag(const pm_column_t *column, size_t row, bool otherwise) {
  if (row >= column->len || !column->ptr[row].is_some) return otherwise;
  const pointsman_plugin_types_value_t *value = &column->ptr[row].val;
  return value->tag == POINTSMAN_PLUGIN_TYPES_VALUE_FLAG ? value->val.flag : otherwise;
}

PM_UNUSED static void pm_column_free(pm_column_t *column) { pointsman_plugin_targets_list_option_value_free(column); }

/* A line in the gateway's log. */
PM_UNUSED static void pm_log(pointsman_plugin_log_level_t level, const char *message) {
  pointsman_string_t line = pm_lent(message);
  pointsman_plugin_log_log(level, &line);
}

/* JSON, as much of it as a configuration takes. The gateway has checked it against config.schema.json before `configure`
 * sees it, so what is looked up here has the type that the schema says. */

typedef struct {
  const char *ptr;
  size_t len;
} pm_json_t;

PM_UNUSED static size_t pm_json_space(pm_json_t json, size_t at) {
  while (at < json.len && (json.ptr[at] == ' ' || json.ptr[at] == '\t' || json.ptr[at] == '\n' || json.ptr[at] == '\r')) at++;
  return at;
}

/* The place after the string that begins at `at`. */
PM_UNUSED static size_t pm_json_string_end(pm_json_t json, size_t at) {
  for (at++; at < json.len; at++) {
    if (json.ptr[at] == '\\') at++;
    else if (json.ptr[at] == '"') return at + 1;
  }
  return json.len;
}

/* The place after the value that begins at `at`. */
PM_UNUSED static size_t pm_json_value_end(pm_json_t json, size_t at) {
  size_t depth = 0;
  while (at < json.len) {
    char c = json.ptr[at];
    if (c == '"') {
      at = pm_json_string_end(json, at);
      if (depth == 0) return at;
      continue;
    }
    if (c == '{' || c == '[') depth++;
    if (c == '}' || c == ']') {
      if (depth == 0) return at;
      if (--depth == 0) return at + 1;
    }
    if (depth == 0 && (c == ',' || c == ' ' || c == '\n' || c == '\t' || c == '\r')) return at;
    at++;
  }
  return at;
}

/* A member of an object; false where it has none of that name. Names are compared as written, without escapes. */
PM_UNUSED static bool pm_json_member(pm_json_t object, const char *name, pm_json_t *value) {
  size_t length = strlen(name);
  size_t at = pm_json_space(object, 0);
  if (at >= object.len || object.ptr[at] != '{') return false;
  at++;
  for (;;) {
    at = pm_json_space(object, at);
    if (at >= object.len || object.ptr[at] != '"') return false;
    size_t key = at + 1;
    at = pm_json_string_end(object, at);
    size_t key_length = at - 1 - key;
    at = pm_json_space(object, at);
    if (at >= object.len || object.ptr[at] != ':') return false;
    size_t begin = pm_json_space(object, at + 1);
    size_t end = pm_json_value_end(object, begin);
    if (key_length == length && memcmp(object.ptr + key, name, length) == 0) {
      value->ptr = object.ptr + begin;
      value->len = end - begin;
      return true;
    }
    at = pm_json_space(object, end);
    if (at >= object.len || object.ptr[at] != ',') return false;
    at++;
  }
}

/* A whole number without fraction and exponent; false where it is none, or too large. */
PM_UNUSED static bool pm_json_integer(pm_json_t value, int64_t *integer) {
  bool negative = value.len > 0 && value.ptr[0] == '-';
  size_t at = negative ? 1 : 0;
  if (at == value.len) return false;
  int64_t sum = 0;
  for (; at < value.len; at++) {
    if (value.ptr[at] < '0' || value.ptr[at] > '9') return false;
    if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, value.ptr[at] - '0', &sum)) return false;
  }
  *integer = negative ? -sum : sum;
  return true;
}

/* A member that is a whole number; `otherwise` where there is none. */
PM_UNUSED static int64_t pm_config_integer(pointsman_string_t config, const char *name, int64_t otherwise) {
  pm_json_t object = {(const char *)config.ptr, config.len}, value;
  int64_t integer;
  return pm_json_member(object, name, &value) && pm_json_integer(value, &integer) ? integer : otherwise;
}

/* A member that is a string without escapes, as bytes that no zero ends; false where there is none. */
PM_UNUSED static bool pm_config_text(pointsman_string_t config, const char *name, pm_json_t *text) {
  pm_json_t object = {(const char *)config.ptr, config.len}, value;
  if (!pm_json_member(object, name, &value) || value.len < 2 || value.ptr[0] != '"') return false;
  if (memchr(value.ptr, '\\', value.len) != NULL) return false;
  text->ptr = value.ptr + 1;
  text->len = value.len - 2;
  return true;
}

#endif
