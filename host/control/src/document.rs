//! The OpenAPI document: what handlers say of themselves, and what all of them share.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, Ref, RefOr, Required, Response, ResponseBuilder,
};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi};

use crate::problem::{Details, PROBLEM_JSON};
use crate::routes;
use crate::source::Decision;

/// The document of this listener, as it is served and checked in.
#[must_use]
pub fn openapi() -> Value {
    finish(routes::endpoints().into_openapi())
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pointsman control API",
        description = "Plugins, policies, tenants, keys, prices and decisions of one node. Every change is durable and live when it is answered. Errors are RFC 9457 problems with a `next` member that says what to do."
    ),
    servers((url = "http://127.0.0.1:8081", description = "where a node listens unless it is told otherwise")),
    security(("admin-token" = [])),
    components(schemas(Details, Decision)),
    modifiers(&Shared),
    tags(
        (name = "policies", description = "Versions of policies: pushed, checked, activated, rolled back."),
        (name = "plugins", description = "Components that policies are made of."),
        (name = "tenants", description = "Who pays, whose policy applies, and their keys."),
        (name = "node", description = "Prices, balances, targets, the control audit, backups."),
        (name = "decisions", description = "What was decided about requests, and why."),
        (name = "probes", description = "Health, readiness and metrics, without a token."),
    )
)]
pub(crate) struct Base;

struct Shared;

impl Modify for Shared {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Components::new);
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("admin-token", token);
        for refusal in Refusal::ALL {
            components
                .responses
                .insert(refusal.name().to_owned(), refusal.response().into());
        }
    }
}

/// What any endpoint may answer instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    BadRequest,
    Unauthorized,
    NotFound,
    SlowBody,
    Conflict,
    PreconditionFailed,
    TooLarge,
    WrongContentType,
    Invalid,
    Internal,
    Unavailable,
    Slow,
}

impl Refusal {
    const ALL: [Self; 12] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::NotFound,
        Self::SlowBody,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::WrongContentType,
        Self::Invalid,
        Self::Internal,
        Self::Unavailable,
        Self::Slow,
    ];

    /// Its name among the document's responses, its status, and what it means.
    const fn told(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::BadRequest => (
                "BadRequest",
                "400",
                "A part of the request cannot be read: path, query, header or JSON.",
            ),
            Self::Unauthorized => ("Unauthorized", "401", "The admin token is not this node's."),
            Self::NotFound => ("NotFound", "404", "There is no such thing."),
            Self::SlowBody => ("SlowBody", "408", "The body did not arrive in time."),
            Self::Conflict => (
                "Conflict",
                "409",
                "It contradicts what is there, or the idempotency key stands for another request.",
            ),
            Self::PreconditionFailed => (
                "PreconditionFailed",
                "412",
                "The condition does not hold; `etag` is the tag that it has now.",
            ),
            Self::TooLarge => ("TooLarge", "413", "The body is too large."),
            Self::WrongContentType => {
                ("WrongContentType", "415", "Wrong content type or encoding.")
            }
            Self::Invalid => (
                "Invalid",
                "422",
                "It does not hold; `findings` say where. Nothing was changed.",
            ),
            Self::Internal => ("Internal", "500", "A fault of the gateway."),
            Self::Unavailable => (
                "Unavailable",
                "503",
                "Not possible now: too much at once, or the store takes no change.",
            ),
            Self::Slow => ("Slow", "504", "It took too long; a change goes on."),
        }
    }

    const fn name(self) -> &'static str {
        self.told().0
    }

    fn response(self) -> Response {
        let schema = Ref::from_schema_name("Problem");
        let content = ContentBuilder::new().schema(Some(schema)).build();
        ResponseBuilder::new()
            .description(self.told().2)
            .content(PROBLEM_JSON, content)
            .build()
    }
}

fn refer(refusals: &[Refusal]) -> BTreeMap<String, RefOr<Response>> {
    let referred = refusals.iter().map(|refusal| {
        let (name, status, _) = refusal.told();
        (status.to_owned(), RefOr::Ref(Ref::from_response_name(name)))
    });
    referred.collect()
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident: [$($refusal:ident),*];)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                refer(&[$(Refusal::$refusal),*])
            }
        }
    )*};
}

refusals! {
    /// What everything under `/admin` may answer.
    Admin: [Unauthorized, Internal, Unavailable, Slow];
    /// What has a query or a name in its path.
    Asked: [BadRequest];
    /// What a name in the path leads to.
    Named: [BadRequest, NotFound];
    /// What takes a body.
    Sent: [BadRequest, SlowBody, TooLarge, WrongContentType, Invalid];
    /// What may not be there.
    Absent: [NotFound];
    /// What changes something.
    Changed: [BadRequest, Conflict, Invalid];
    /// What may stand for several things.
    Conflicting: [Conflict];
    /// What has an entity tag.
    Conditional: [PreconditionFailed];
}

/// The header of changes that are to happen once.
pub(crate) struct Once;

impl IntoParams for Once {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let key = text()
            .min_length(Some(1))
            .max_length(Some(255))
            .pattern(Some("^[!-~]+$"));
        vec![header(
            "Idempotency-Key",
            "Makes a repeated call do nothing and be told the same, with the header `idempotency-replayed: true`; kept for a day.",
            key,
        )]
    }
}

/// The headers of changes of what has an entity tag.
pub(crate) struct If;

impl IntoParams for If {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![
            header(
                "If-Match",
                "Entity tags, one of which it must have, as ETag gave them, quotes included; `*`: it must be there.",
                text(),
            ),
            header(
                "If-None-Match",
                "`*`: it must not be there.",
                text().enum_values(Some(["*"])),
            ),
        ]
    }
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String))
}

fn header(name: &str, description: &str, schema: ObjectBuilder) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema.build()))
        .build()
}

/// What the macros cannot say: a body that may be left out is not null, and only what callers send is closed to further
/// members; what is answered may grow.
fn finish(document: utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(document).expect("a document is JSON");
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let operations = paths.filter_map(|(_, item)| item.as_object_mut()).flatten();
    for (_, operation) in operations {
        if let Some(body) = operation.get_mut("requestBody") {
            settle(body);
        }
    }
    let sent = sent_schemas(&document);
    let schemas = document.pointer_mut("/components/schemas");
    let schemas = schemas.and_then(Value::as_object_mut);
    for (name, schema) in schemas.into_iter().flatten() {
        if !sent.contains(name) {
            open(schema);
        }
    }
    document
}

/// `required` is said, and stands alone for what may be left out.
fn settle(body: &mut Value) {
    let required = body["required"] == Value::Bool(true);
    body["required"] = Value::Bool(required);
    let contents = body["content"].as_object_mut().into_iter().flatten();
    for (_, content) in contents {
        let wanted = content["schema"]["oneOf"].as_array().and_then(|either| {
            either
                .iter()
                .find(|schema| schema.get("$ref").is_some())
                .cloned()
        });
        if let Some(wanted) = wanted {
            content["schema"] = wanted;
        }
    }
}

fn open(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("additionalProperties") == Some(&Value::Bool(false)) {
                members.remove("additionalProperties");
            }
            members.values_mut().for_each(open);
        }
        Value::Array(items) => items.iter_mut().for_each(open),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The names of all schemas that bodies of requests are made of.
fn sent_schemas(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let paths = document["paths"].as_object().into_iter().flatten();
    let operations = paths.filter_map(|(_, item)| item.as_object()).flatten();
    for (_, operation) in operations {
        collect(document, &operation["requestBody"], &mut found);
    }
    found
}

fn collect(document: &Value, within: &Value, found: &mut BTreeSet<String>) {
    match within {
        Value::Object(members) => {
            let name = members
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|at| at.strip_prefix("#/components/schemas/"));
            if let Some(name) = name
                && found.insert(name.to_owned())
            {
                collect(document, &document["components"]["schemas"][name], found);
            }
            for value in members.values() {
                collect(document, value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(document, item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
