//! `pointsman decisions content` and `audit erase`: what is kept of requests' content, told and erased.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use pointsman_audit::{About, Content, Entry, Seen};
use pointsman_domain::decision::{Capture, Opened};
use serde_json::{Value as Json, json};

use super::super::{NOT_SOUND, say, say_json};
use super::note;
use crate::decisions;
use crate::node::Settings;
use crate::pipeline::Inputs;

/// Tells what was asked.
pub(super) fn show(settings: &Settings, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let decision = decisions::find(&settings.decisions_dir(), id)?;
    let opened = decision.opened.with_context(|| {
        format!("no decision `{id}`; `pointsman decisions list` shows the newest")
    })?;
    let bytes = match kept(settings, &opened)? {
        Content::Kept(bytes) => bytes,
        Content::Erased => bail!("the content of {} was erased", opened.id),
        Content::Missing => bail!(
            "the content of {} is not in {} any more",
            opened.id,
            settings.content_dir().display()
        ),
        Content::Damaged => {
            note(&format!(
                "the content of {} is not what its record says; it is not shown",
                opened.id
            ));
            return Ok(ExitCode::from(NOT_SOUND));
        }
    };
    let (inputs, body) = Inputs::read(&bytes)
        .context("the content was kept by a version that this one does not read")?;
    let body = String::from_utf8_lossy(&body);
    if json {
        let whole: Json = serde_json::from_str(&body).unwrap_or_else(|_| json!(body));
        let headers = &inputs.headers;
        say_json(
            &json!({ "id": opened.id, "tenant": opened.tenant, "headers": headers, "body": whole }),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    for (name, value) in &inputs.headers {
        say(format!("{name}: {value}"));
    }
    say(format!("\n{body}"));
    Ok(ExitCode::SUCCESS)
}

fn kept(settings: &Settings, opened: &Opened) -> anyhow::Result<Content> {
    let Some(captured) = &opened.content else {
        bail!(
            "the content of {} was not captured: policy `{}` had no audit.capture = \"full\", or no step was reached",
            opened.id,
            opened.policy
        );
    };
    match (captured.capture, &captured.place, &captured.commitment) {
        (Capture::TooLarge, ..) => bail!(
            "the content of {} was not kept: {} bytes are more than audit.capture-bytes-max",
            opened.id,
            captured.bytes
        ),
        (Capture::Full, Some(place), Some(commitment)) => {
            let place = place.parse().context("a record's place of content")?;
            let folder = settings.content_dir();
            Ok(pointsman_audit::content(
                &folder, &place, &opened.id, commitment,
            )?)
        }
        _ => bail!(
            "the content of {} was not kept: it could not be written; the gateway's log says why",
            opened.id
        ),
    }
}

/// Erases what meets all that is given.
pub(super) fn erase(
    settings: &Settings,
    ids: &[String],
    tenant: Option<&str>,
    before_ms: Option<u64>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let whole = if ids.is_empty() {
        None
    } else {
        Some(whole(settings, ids)?)
    };
    let is_meant = |about: &About| {
        whole.as_ref().is_none_or(|ids| ids.contains(&about.id.0))
            && tenant.is_none_or(|tenant| about.tenant == tenant)
            && before_ms.is_none_or(|before_ms| about.at_ms < before_ms)
    };
    let erased = pointsman_audit::erase(&settings.content_dir(), is_meant)?;
    for problem in &erased.damaged {
        note(&format!(
            "{problem}; nobody can say whose content is there: remove the file if that matters"
        ));
    }
    if json {
        let damaged: Vec<String> = erased.damaged.iter().map(ToString::to_string).collect();
        say_json(
            &json!({ "requests": erased.requests, "bytes": erased.bytes, "before": erased.before, "damaged": damaged }),
        )?;
    } else {
        say(format!(
            "erased the content of {} requests ({} bytes); {} were erased before",
            erased.requests, erased.bytes, erased.before
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The ids that these begin; each must mean one request whose content is, or was, there.
fn whole(settings: &Settings, ids: &[String]) -> anyhow::Result<BTreeSet<String>> {
    let mut found: Vec<BTreeSet<String>> = vec![BTreeSet::new(); ids.len()];
    for seen in pointsman_audit::contents(&settings.content_dir())? {
        let Seen::Entry(Entry { about, .. }) = seen? else {
            continue;
        };
        for (id, found) in ids.iter().zip(&mut found) {
            if !id.is_empty() && about.id.0.starts_with(id.as_str()) && found.len() < 2 {
                found.insert(about.id.0.clone());
            }
        }
    }
    for (id, found) in ids.iter().zip(&found) {
        match found.len() {
            0 => bail!("no content of a request `{id}` is kept; nothing was erased"),
            1 => {}
            _ => bail!(
                "more than one request begins with `{id}`; give more of the id; nothing was erased"
            ),
        }
    }
    Ok(found.into_iter().flatten().collect())
}
