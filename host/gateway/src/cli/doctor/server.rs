//! What a running server tells: itself, its policies, their targets, the engine.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use pointsman_control::PlaneError;
use pointsman_control::api::TargetView;
use pointsman_upstream::EgressRules;

use super::Report;
use crate::cli::Place;
use crate::cli::backend::{Backend, has_state};
use crate::cli::client::{Client, ClientFile, candidates};
use crate::node::Settings;
use crate::plane::Plane;

/// For a target to take a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// What the metrics call the server's version.
const VERSION_SAMPLE: &str = "pointsman_build_info{version=\"";
const OURS: &str = env!("CARGO_PKG_VERSION");

/// Whether a server answered.
pub(super) fn server(report: &mut Report, place: &Place, settings: &Settings) -> bool {
    engine(report, settings);
    let found = match candidates(place, settings) {
        Ok(found) => found,
        Err(error) => {
            report.fail(
                "server",
                format!("{error:#}"),
                "see `pointsman --help`, --control and --token",
            );
            return false;
        }
    };
    let mut why = Vec::new();
    for found in found {
        match found.client.is_there() {
            Ok(()) => {
                let url = found.client.url().to_owned();
                report.ok("server", format!("{url} answers (from {})", found.by));
                version(report, &found.client);
                let backend = Backend::Remote(found.client);
                plane(report, &backend, settings);
                return true;
            }
            Err(error) => why.push(error.to_string()),
        }
    }
    let detail = if why.is_empty() {
        "none is named: control.listen has port 0".to_owned()
    } else {
        why.join("; ")
    };
    report.warn(
        "server",
        detail,
        "start one: cargo xtask up, or pointsman serve",
    );
    // What would serve is known without a server, too.
    if has_state(settings)
        && let Ok(folder) = Plane::offline(settings)
    {
        plane(report, &Backend::Local(Box::new(folder)), settings);
    }
    false
}

fn version(report: &mut Report, client: &Client) {
    let metrics = client.asked("/metrics").map(|answer| answer.body);
    let text = metrics.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_default();
    let told = text
        .split_once(VERSION_SAMPLE)
        .and_then(|(_, rest)| rest.split('"').next());
    match told {
        Some(OURS) => report.ok("version", format!("{OURS}, here and there")),
        Some(other) => report.warn(
            "version",
            format!("the server is {other}, this command is {OURS}"),
            "use the command of the server's version, or restart the server",
        ),
        None => report.warn(
            "version",
            "what answers tells no version; is it a Pointsman?",
            "mind --control",
        ),
    }
}

fn plane(report: &mut Report, backend: &Backend, settings: &Settings) {
    let policies = match backend.policies() {
        Ok(policies) => policies,
        Err(error) => {
            report.fail("control", error.to_string(), next_of(&error));
            return;
        }
    };
    for policy in &policies {
        let serves = policy
            .active
            .map_or_else(|| "none".to_owned(), |active| active.to_string());
        match &policy.broken {
            Some(why) => report.fail(
                "policy",
                format!("{} version {serves} does not serve: {why}", policy.name),
                format!(
                    "mend it and push it anew, or go back: pointsman policy rollback {}",
                    policy.name
                ),
            ),
            None => report.ok("policy", format!("{} version {serves} serves", policy.name)),
        }
    }
    match backend.tenants() {
        Ok(tenants) if tenants.is_empty() => report.warn(
            "tenants",
            "there is none, so that nobody can ask",
            "pointsman tenant add demo --policy quickstart",
        ),
        Ok(tenants) => {
            for view in tenants {
                let (id, name) = (&view.tenant.id, &view.tenant.policy);
                let serves = policies
                    .iter()
                    .any(|policy| policy.name == *name && policy.active.is_some());
                let folder = settings.policies().join(name).join("policy.toml");
                if !serves && policies.is_empty() && folder.is_file() {
                    report.ok(
                        "tenants",
                        format!("the first start imports policy {name} for tenant {id}"),
                    );
                } else if !serves {
                    report.fail(
                        "tenants",
                        format!("tenant {id} uses policy {name}, of which no version serves: its requests get 503"),
                        format!("pointsman policy push FOLDER, then pointsman policy activate {name}"),
                    );
                }
            }
        }
        Err(error) => report.fail("tenants", error.to_string(), next_of(&error)),
    }
    match backend.targets() {
        Ok(targets) => reach(report, &targets, settings),
        Err(error) => report.fail("targets", error.to_string(), next_of(&error)),
    }
}

fn next_of(error: &PlaneError) -> String {
    match error {
        PlaneError::NotFound { next, .. } | PlaneError::Conflict { next, .. }
            if !next.is_empty() =>
        {
            next.clone()
        }
        _ => "see the server's log".to_owned(),
    }
}

/// Connects to each place once, under the rules of egress.
fn reach(report: &mut Report, targets: &[TargetView], settings: &Settings) {
    // `cargo xtask up` gives the gateway leave to reach the engine that it started, wherever that is.
    let engine = ClientFile::read(&settings.state()).engine_url;
    let engine = engine
        .as_deref()
        .and_then(|url| url.strip_prefix("http://"))
        .filter(|place| place.parse::<SocketAddr>().is_ok());
    let listed = settings.config.egress.allow_private.iter();
    let rules = match EgressRules::new(listed.map(String::as_str).chain(engine)) {
        Ok(rules) => rules,
        Err(error) => {
            report.fail("targets", error.to_string(), "mend egress.allow-private");
            return;
        }
    };
    let mut seen = std::collections::BTreeSet::new();
    for target in targets {
        if !seen.insert(&target.endpoint) {
            continue;
        }
        let name = format!(
            "{} of {} at {}",
            target.name, target.policy, target.endpoint
        );
        match connect(&target.endpoint, &rules) {
            Ok(address) => report.ok("target", format!("{name} takes connections ({address})")),
            Err((why, next)) => report.fail("target", format!("{name}: {why}"), next),
        }
    }
}

fn connect(endpoint: &str, rules: &EgressRules) -> Result<SocketAddr, (String, String)> {
    let bad = || {
        (
            "is no URL".to_owned(),
            "write https://host/v1 in policy.toml".to_owned(),
        )
    };
    let uri: http::Uri = endpoint.parse().map_err(|_error| bad())?;
    let host = uri.host().ok_or_else(bad)?;
    let usual = if uri.scheme_str() == Some("http") {
        80
    } else {
        443
    };
    let port = uri.port_u16().unwrap_or(usual);
    let resolved = (host.trim_matches(['[', ']']), port).to_socket_addrs();
    let resolved = resolved.map_err(|error| {
        (
            format!("the name {host} is not known: {error}"),
            "mind the endpoint in policy.toml, and the network".to_owned(),
        )
    })?;
    let mut refused = None;
    let mut failed = None;
    for address in resolved {
        if let Some(class) = rules.refusal(address) {
            refused = Some((
                format!("{address} is {class}, which egress refuses"),
                format!("add \"{address}\" to egress.allow-private in pointsman.toml"),
            ));
            continue;
        }
        match TcpStream::connect_timeout(&address, CONNECT_MAX) {
            Ok(_stream) => return Ok(address),
            Err(error) => {
                failed = Some((
                    format!("{address} takes no connection: {error}"),
                    "start it, or mind the network; requests fail over to other targets of the plan".to_owned(),
                ));
            }
        }
    }
    Err(failed.or(refused).unwrap_or_else(bad))
}

/// The engine that `cargo xtask up` started.
fn engine(report: &mut Report, settings: &Settings) {
    let Some(url) = ClientFile::read(&settings.state()).engine_url else {
        return;
    };
    let well = Client::new(&url, None).map(|client| client.asked("/health"));
    match well {
        Ok(Ok(_)) => report.ok("engine", format!("{url} is well")),
        Ok(Err(error)) => report.fail(
            "engine",
            error.to_string(),
            "cargo xtask up starts it; its log is .pointsman/logs/engine.log",
        ),
        Err(error) => report.fail("engine", error.to_string(), "cargo xtask up writes it anew"),
    }
}
