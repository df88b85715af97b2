/* Sends long requests to the targets with the largest context; leaves short ones to the next router. Where there is a
 * limit, denies what is longer.
 *
 * Start here: `configure` reads the configuration into what all decisions share; `check` and `route` decide one request.
 * What you change there, change in config.schema.json, cases.jsonl and README.md too.
 * The functions are those that build/sdk/pointsman.h declares for the roles of plugin.toml; what they return is freed by
 * the bindings. There is malloc and string.h, and no stdio. */
#include "pointsman_sdk.h"

/* Attempts of one plan; the gateway takes no more. */
enum { ATTEMPTS_MAX = 16 };

static int64_t long_tokens;
static int64_t max_tokens;

bool exports_pointsman_plugin_meta_configure(pointsman_string_t *config, pointsman_string_t *err) {
  long_tokens = pm_config_integer(*config, "long-tokens", 1);
  max_tokens = pm_config_integer(*config, "max-tokens", INT64_MAX);
  bool sound = max_tokens >= long_tokens;
  if (!sound) *err = pm_string("max-tokens: must not be below long-tokens");
  pointsman_string_free(config);
  return sound;
}

static int64_t tokens_of(pointsman_plugin_request_borrow_view_t request) {
  return pm_field_integer(request, "input-tokens-estimate", 0);
}

bool exports_pointsman_plugin_request_guard_check(exports_pointsman_plugin_request_guard_borrow_view_t request,
                                                  exports_pointsman_plugin_request_guard_checked_t *ret,
                                                  exports_pointsman_plugin_request_guard_plugin_error_t *err) {
  (void)err;
  int64_t tokens = tokens_of(request);
  ret->labels.len = 1;
  ret->labels.ptr = pm_alloc(sizeof(*ret->labels.ptr));
  ret->labels.ptr[0] = pm_label("long", pm_flag(tokens >= long_tokens));
  if (tokens <= max_tokens) {
    ret->verdict.tag = EXPORTS_POINTSMAN_PLUGIN_REQUEST_GUARD_VERDICT_PASS;
    return true;
  }
  ret->verdict.tag = EXPORTS_POINTSMAN_PLUGIN_REQUEST_GUARD_VERDICT_DENY;
  ret->verdict.val.deny = pm_reason("too-long", "more input tokens than max-tokens");
  pm_reason_add(&ret->verdict.val.deny, "status", pm_integer(413));
  pm_reason_add(&ret->verdict.val.deny, "user-message", pm_text("This conversation is too long; start a new one."));
  return true;
}

typedef struct {
  pointsman_string_t name;
  int64_t context;
  bool down;
} target_t;

/* Healthy before unhealthy, then the largest context; an unknown one counts as the smallest. */
static int before(const void *one, const void *other) {
  const target_t *a = one, *b = other;
  if (a->down != b->down) return a->down ? 1 : -1;
  if (a->context != b->context) return a->context < b->context ? 1 : -1;
  size_t shorter = a->name.len < b->name.len ? a->name.len : b->name.len;
  int order = memcmp(a->name.ptr, b->name.ptr, shorter);
  if (order != 0) return order;
  return a->name.len < b->name.len ? -1 : 1;
}

bool exports_pointsman_plugin_router_route(exports_pointsman_plugin_router_borrow_view_t request,
                                           exports_pointsman_plugin_router_borrow_pool_t candidates,
                                           exports_pointsman_plugin_router_plan_t *ret,
                                           exports_pointsman_plugin_router_plugin_error_t *err) {
  (void)err;
  memset(ret, 0, sizeof(*ret));
  if (tokens_of(request) < long_tokens) {
    ret->reason = pm_reason("short", "not a long request");
    return true;
  }
  pointsman_list_string_t names;
  pm_column_t contexts, healthy;
  pointsman_plugin_targets_method_pool_names(candidates, &names);
  pm_column(candidates, "context-tokens", &contexts);
  pm_column(candidates, "healthy", &healthy);
  target_t *targets = pm_alloc(names.len * sizeof(*targets));
  for (size_t row = 0; row < names.len; row++) {
    targets[row] = (target_t){
        .name = names.ptr[row],
        .context = pm_column_integer(&contexts, row, -1),
        .down = !pm_column_flag(&healthy, row, true),
    };
  }
  qsort(targets, names.len, sizeof(*targets), before);
  size_t count = names.len < ATTEMPTS_MAX ? names.len : ATTEMPTS_MAX;
  ret->attempts.len = count;
  ret->attempts.ptr = pm_alloc(count * sizeof(*ret->attempts.ptr));
  for (size_t row = 0; row < count; row++) {
    ret->attempts.ptr[row].target = pm_string_n((const char *)targets[row].name.ptr, targets[row].name.len);
  }
  ret->reason = pm_reason("long", "the largest context first");
  free(targets);
  pointsman_list_string_free(&names);
  pm_column_free(&contexts);
  pm_column_free(&healthy);
  return true;
}
