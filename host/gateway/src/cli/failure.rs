//! How a failure is told, and with which exit code.

use std::io::Write as _;
use std::process::ExitCode;

use pointsman_control::PlaneError;
use pointsman_control::api::Finding;

use super::{CHANGED, NOT_SOUND};

/// Tells it on standard error.
pub(crate) fn told(error: &anyhow::Error) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    let _nowhere_left_to_tell = writeln!(stderr, "error: {error:#}");
    let plane = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<PlaneError>());
    let Some(plane) = plane else {
        return ExitCode::FAILURE;
    };
    for line in more(plane) {
        let _nowhere_left_to_tell = writeln!(stderr, "{line}");
    }
    match plane {
        PlaneError::Invalid { .. } => ExitCode::from(NOT_SOUND),
        PlaneError::Precondition { .. } => ExitCode::from(CHANGED),
        PlaneError::NotFound { .. }
        | PlaneError::Conflict { .. }
        | PlaneError::TooLarge(_)
        | PlaneError::Unavailable(_)
        | PlaneError::Internal(_) => ExitCode::FAILURE,
    }
}

/// What an error says besides its one line.
fn more(error: &PlaneError) -> Vec<String> {
    match error {
        PlaneError::NotFound { next, .. } | PlaneError::Conflict { next, .. }
            if !next.is_empty() =>
        {
            vec![format!("next: {next}")]
        }
        PlaneError::Invalid { findings, .. } => findings.iter().map(finding).collect(),
        PlaneError::Precondition { .. } => vec![
            "next: somebody else changed it meanwhile, and nothing was done; look at what is there now (policy status, tenant show), then repeat with what you see or without --expect".to_owned(),
        ],
        _ => Vec::new(),
    }
}

/// One finding as a line: its place, what is wrong, what to do.
pub(crate) fn finding(finding: &Finding) -> String {
    let level = if finding.error { "error" } else { "warning" };
    let mut text = level.to_owned();
    for place in [finding.place.as_deref(), Some(finding.path.as_str())] {
        if let Some(place) = place.filter(|place| !place.is_empty()) {
            text.push_str(": ");
            text.push_str(place);
        }
    }
    text.push_str(": ");
    text.push_str(&finding.message);
    if let Some(help) = &finding.help {
        text.push_str("; ");
        text.push_str(help);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_where_what_and_what_to_do() {
        let told = finding(&Finding {
            error: true,
            path: "step[2].plugin".to_owned(),
            place: Some("policy.toml:12:3".to_owned()),
            message: "unknown plugin `gard`".to_owned(),
            help: Some("did you mean `guard-pii`?".to_owned()),
        });
        assert_eq!(
            told,
            "error: policy.toml:12:3: step[2].plugin: unknown plugin `gard`; did you mean `guard-pii`?"
        );
    }

    #[test]
    fn a_condition_that_does_not_hold_is_told_by_its_own_code() {
        let error = anyhow::Error::from(PlaneError::Precondition {
            what: "policy quickstart".to_owned(),
            current: Some("7".to_owned()),
        });
        let wrapped = error.context("while it was activated");
        assert_eq!(told(&wrapped), ExitCode::from(CHANGED));
        let plain = anyhow::anyhow!("no file");
        assert_eq!(told(&plain), ExitCode::FAILURE);
    }
}
