//! What differs between two bundles, in an operator's words.

use std::collections::BTreeMap;

use pointsman_control::api::DiffLine;
use pointsman_domain::Digest;
use pointsman_policy::digest;
use serde_json::Value as Json;

use crate::bundle::Folder;

/// Characters of a value that are shown; what is longer is cut.
const SHOWN_CHARS_MAX: usize = 400;

/// One of the two.
pub(super) struct Side {
    policy: Json,
    /// Reference and what it means.
    plugins: BTreeMap<String, Digest>,
    files: BTreeMap<String, Digest>,
}

impl Side {
    pub(super) fn new<'a>(
        folder: &Folder,
        plugins: impl Iterator<Item = (&'a str, Digest)>,
    ) -> Self {
        let files = folder.files.iter();
        Self {
            policy: serde_json::to_value(&folder.policy).unwrap_or_default(),
            plugins: plugins
                .map(|(name, digest)| (name.to_owned(), digest))
                .collect(),
            files: files
                .map(|(name, bytes)| (name.clone(), digest::bytes(bytes)))
                .collect(),
        }
    }
}

/// Every difference: of the policy by its parts, of the plugins behind the same references, of data files.
pub(super) fn lines(from: &Side, to: &Side) -> Vec<DiffLine> {
    let mut lines = Vec::new();
    compare("", Some(&from.policy), Some(&to.policy), &mut lines);
    digests("plugin", &from.plugins, &to.plugins, &mut lines);
    digests("file", &from.files, &to.files, &mut lines);
    lines
}

fn digests(
    what: &str,
    from: &BTreeMap<String, Digest>,
    to: &BTreeMap<String, Digest>,
    lines: &mut Vec<DiffLine>,
) {
    let names: std::collections::BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    for name in names {
        let (before, after) = (from.get(name), to.get(name));
        if before != after {
            let what = format!("{what} {name}");
            let text = |digest: Option<&Digest>| digest.map(ToString::to_string);
            lines.push(line(what, text(before), text(after)));
        }
    }
}

fn line(what: String, from: Option<String>, to: Option<String>) -> DiffLine {
    let how = match (&from, &to) {
        (None, _) => "added",
        (_, None) => "removed",
        (Some(_), Some(_)) => "changed",
    };
    DiffLine {
        what,
        how: how.to_owned(),
        from,
        to,
    }
}

fn compare(at: &str, from: Option<&Json>, to: Option<&Json>, lines: &mut Vec<DiffLine>) {
    if from == to {
        return;
    }
    match (from, to) {
        (Some(Json::Object(from)), Some(Json::Object(to))) => {
            let keys: std::collections::BTreeSet<&String> = from.keys().chain(to.keys()).collect();
            for key in keys {
                let at = if at.is_empty() {
                    key.clone()
                } else {
                    format!("{at}.{key}")
                };
                compare(&at, from.get(key), to.get(key), lines);
            }
        }
        (from, to) if named(from) && named(to) && (from, to) != (None, None) => {
            elements(at, items(from), items(to), lines);
        }
        (from, to) => lines.push(line(at.to_owned(), from.map(shown), to.map(shown))),
    }
}

/// Steps, targets, models, variants: parts with a name of their own, which are told by it wherever they stand.
fn elements(at: &str, from: &[Json], to: &[Json], lines: &mut Vec<DiffLine>) {
    let find = |list: &[Json], wanted: &str| {
        let place = list.iter().position(|item| name(item) == Some(wanted));
        place.map(|place| (place, list[place].clone()))
    };
    for item in from {
        let Some(id) = name(item) else { continue };
        let what = format!("{at} {id}");
        match find(to, id) {
            None => lines.push(line(what, Some(shown(item)), None)),
            Some((_, after)) => compare(&what, Some(item), Some(&after), lines),
        }
    }
    for item in to {
        let Some(id) = name(item) else { continue };
        if find(from, id).is_none() {
            lines.push(line(format!("{at} {id}"), None, Some(shown(item))));
        }
    }
    let order = |list: &[Json], other: &[Json]| -> Vec<String> {
        let both = list.iter().filter_map(name);
        both.filter(|id| find(other, id).is_some())
            .map(str::to_owned)
            .collect()
    };
    let (before, after) = (order(from, to), order(to, from));
    if before != after {
        lines.push(DiffLine {
            what: format!("order of {at}"),
            how: "moved".to_owned(),
            from: Some(before.join(", ")),
            to: Some(after.join(", ")),
        });
    }
}

fn name(item: &Json) -> Option<&str> {
    item.get("id").or_else(|| item.get("name"))?.as_str()
}

fn items(list: Option<&Json>) -> &[Json] {
    match list {
        Some(Json::Array(items)) => items,
        _ => &[],
    }
}

/// Whether it is absent, or a list of parts with names.
fn named(list: Option<&Json>) -> bool {
    match list {
        None => true,
        Some(Json::Array(items)) => items.iter().all(|item| name(item).is_some()),
        Some(_) => false,
    }
}

fn shown(value: &Json) -> String {
    let text = match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn side(policy: Json, files: &[(&str, &[u8])]) -> Side {
        let files = files.iter();
        Side {
            policy,
            plugins: BTreeMap::new(),
            files: files
                .map(|(name, bytes)| ((*name).to_owned(), digest::bytes(bytes)))
                .collect(),
        }
    }

    #[test]
    fn parts_are_told_by_their_names() {
        let from = side(
            json!({"step": [{"id": "a", "when": "x"}, {"id": "b"}], "execute": {"deadline-ms": 1}}),
            &[("words.txt", b"one")],
        );
        let to = side(
            json!({"step": [{"id": "b"}, {"id": "a", "when": "y"}, {"id": "c"}], "execute": {"deadline-ms": 2}}),
            &[("words.txt", b"two")],
        );
        let told: Vec<String> = lines(&from, &to)
            .into_iter()
            .map(|line| format!("{} {}", line.what, line.how))
            .collect();
        assert_eq!(
            told,
            [
                "execute.deadline-ms changed",
                "step a.when changed",
                "step c added",
                "order of step moved",
                "file words.txt changed"
            ]
        );
        assert!(lines(&from, &from).is_empty());
    }
}
